//! Bodies of answers: the gate's own few bytes, or what the service sends, passed on as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use cutover_http::file::Part;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};

use super::access_log::Entry;
use super::pool::{Lease, Ticket};
use super::tally::Tally;
use super::visit::Asking;

/// The body of an answer to a client.
#[derive(Debug)]
pub(super) struct Body {
    content: Content,
    /// The request's line in the access log, complete when this ends.
    entry: Option<Box<Entry>>,
    /// The request, answered when this ends.
    asking: Option<Asking>,
}

#[derive(Debug)]
enum Content {
    /// The gate's own.
    Whole(Option<Bytes>),
    /// The service's.
    Passing(Passing),
    /// A file of a release.
    File(Part),
}

/// Why a body ends early.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What the service sends, with what must be given back when it has ended.
#[derive(Debug)]
pub(super) struct Passing {
    incoming: Incoming,
    /// The connection, of use to others once the body has been read to its end and not before.
    lease: Option<Lease>,
    /// Counts the request out when dropped.
    ticket: Option<Ticket>,
    tally: Arc<Tally>,
}

impl Body {
    /// A body of the gate's own.
    pub(super) fn whole(text: impl Into<Bytes>) -> Self {
        let bytes = text.into();
        Content::Whole((!bytes.is_empty()).then_some(bytes)).into()
    }

    /// A file of a release.
    pub(super) fn file(part: Part) -> Self {
        Content::File(part).into()
    }

    /// Has the request's line wait for the end of this body.
    pub(super) fn logged(&mut self, entry: Box<Entry>) {
        self.entry = Some(entry);
    }

    /// Has the request wait for the end of this body.
    pub(super) fn answers(&mut self, asking: Asking) {
        self.asking = Some(asking);
    }

    /// Passes on what the service sends.
    pub(super) fn passing(
        incoming: Incoming,
        lease: Lease,
        ticket: Ticket,
        tally: Arc<Tally>,
    ) -> Self {
        let mut passing = Passing { incoming, lease: Some(lease), ticket: Some(ticket), tally };
        if passing.incoming.is_end_stream() {
            passing.end();
        }
        Content::Passing(passing).into()
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Self { content, entry: None, asking: None }
    }
}

impl Passing {
    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        self.ticket = None;
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(_)) if !self.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => self.end(),
            Some(Err(error)) => {
                let version = self.lease.take().map(|lease| lease.version().to_string());
                self.ticket = None;
                self.tally.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(version, %error, "the service broke off in the middle of an answer");
            }
        }
        Poll::Ready(frame)
    }
}

impl Content {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passing(passing) => passing.poll_frame(cx).map_err(BodyError::from),
            Self::File(part) => {
                let piece = ready!(part.poll(cx));
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece?))))
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let frame = ready!(body.content.poll_frame(cx));
        if let (Some(entry), Some(Ok(frame))) = (&mut body.entry, &frame) {
            entry.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Passing(passing) => passing.incoming.is_end_stream(),
            Content::File(part) => part.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Passing(passing) => passing.incoming.size_hint(),
            Content::File(part) => SizeHint::with_exact(part.left()),
        }
    }
}
