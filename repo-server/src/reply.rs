//! Answers, and what they are made of.

use std::pin::Pin;
use std::task::{Context, Poll};

use cutover_http::client::Share;
use cutover_http::file::Part;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// An answer.
pub(crate) type Reply = Response<Content>;

/// The body of an answer.
pub(crate) enum Content {
    /// All of it, in memory; empty once it is sent.
    Whole(Bytes),
    /// A part of a file, as it is read.
    Part(Part),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Part(part) => part.poll(cx).map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Part(part) => part.left(),
        })
    }
}

/// A body that keeps its client's share until it is sent.
pub(crate) struct Held {
    pub(crate) content: Content,
    pub(crate) _share: Option<Share>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.get_mut().content).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

/// An answer that is only a status.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Content::default());
    *reply.status_mut() = status;
    reply
}

/// A line of plain text.
pub(crate) fn text(status: StatusCode, line: &str) -> Reply {
    let mut reply = Response::new(Content::Whole(format!("{line}\n").into()));
    *reply.status_mut() = status;
    reply.with(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
}

/// 404.
pub(crate) fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "there is no such file")
}

/// Headers, one after the other.
pub(crate) trait With {
    /// The same with one more header.
    fn with(self, name: HeaderName, value: HeaderValue) -> Self;
    /// The same with a header that never changes.
    fn with_static(self, name: HeaderName, value: &'static str) -> Self;
}

impl With for Reply {
    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }

    fn with_static(self, name: HeaderName, value: &'static str) -> Self {
        self.with(name, HeaderValue::from_static(value))
    }
}
