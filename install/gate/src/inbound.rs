//! Bodies of requests: passed on as they come, as long as they do come.
//!
//! A client that sends its body drop by drop occupies a worker of the service for as long as it
//! likes. So it has a *patience* to use up: waiting for it does, and every byte that arrives wins
//! some of it back. Only waiting for the client counts, never waiting for the service.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// Bytes that win back a second. The slowest modem brings several times as many.
const BYTES_PER_SECOND: u64 = 500;

/// The body of a request on its way to the service.
#[derive(Debug)]
pub(super) struct Inbound {
    incoming: Option<Incoming>,
    /// None where there is no body.
    watch: Option<Box<Watch>>,
}

#[derive(Debug)]
struct Watch {
    pace: Pace,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    fate: Fate,
    progress: Progress,
}

/// How far a body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Not at all, and the client does not send it before somebody does.
    Expected,
    /// Perhaps in part.
    Begun,
    /// To its end, or as far as it came.
    Over,
}

/// Whether a client waits for `100 Continue` before it sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    /// It does.
    Continue,
    /// It does not.
    Nothing,
}

/// What became of a request's body, for whoever has to answer for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Rc<Cell<Option<Fault>>>);

/// Why a body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It came too slowly.
    Slow,
    /// It broke off, or was no body.
    Broken,
}

impl Fate {
    /// The client's fault, if there is one.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.get()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slow => "the client sends too slowly",
            Self::Broken => "the client broke off",
        })
    }
}

impl std::error::Error for Fault {}

impl Inbound {
    /// A body whose client has `patience` to use up.
    pub(super) fn new(
        incoming: Incoming,
        patience: Duration,
        expectation: Expectation,
    ) -> (Self, Fate) {
        let fate = Fate::default();
        let watch = (!incoming.is_end_stream()).then(|| {
            let progress = match expectation {
                Expectation::Continue => Progress::Expected,
                Expectation::Nothing => Progress::Begun,
            };
            let (pace, fate) = (Pace::new(patience), fate.clone());
            Box::new(Watch { pace, waiting: None, fate, progress })
        });
        (Self { incoming: Some(incoming), watch }, fate)
    }

    /// No body.
    pub(super) fn none() -> Self {
        Self { incoming: None, watch: None }
    }
}

/// Reads what nobody wants: a client that is still sending when the answer comes would else be cut off
/// before it has read that. It has as long as any client that is silent.
async fn discard(mut incoming: Incoming) {
    while let Some(Ok(_)) = incoming.frame().await {}
}

impl Drop for Inbound {
    fn drop(&mut self) {
        let left = self.watch.as_ref().is_some_and(|watch| watch.progress == Progress::Begun);
        let unread = |incoming: &Incoming| left && !incoming.is_end_stream();
        if let Some(incoming) = self.incoming.take().filter(unread) {
            tokio::task::spawn_local(discard(incoming));
        }
    }
}

impl Watch {
    fn arrived(&mut self, bytes: usize) {
        let waited = self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
        self.pace.count(waited, bytes as u64);
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.pace.left();
        let (_, end) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        end.as_mut().poll(cx)
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        let Some(watch) = &mut this.watch else {
            return polled.map_err(|_| Fault::Broken);
        };
        watch.progress = Progress::Begun;
        let fault = match polled {
            Poll::Ready(Some(Ok(frame))) => {
                watch.arrived(frame.data_ref().map_or(0, Bytes::len));
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                watch.progress = Progress::Over;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(_))) => Fault::Broken,
            Poll::Pending => {
                ready!(watch.poll_patience(cx));
                Fault::Slow
            }
        };
        watch.progress = Progress::Over;
        watch.fate.0.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// How much patience is left.
#[derive(Clone, Copy, Debug)]
struct Pace {
    patience: Duration,
    used: Duration,
}

impl Pace {
    fn new(patience: Duration) -> Self {
        Self { patience, used: Duration::ZERO }
    }

    /// `bytes` came after a wait of `waited`.
    fn count(&mut self, waited: Duration, bytes: u64) {
        let won = Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND);
        self.used = (self.used + waited).saturating_sub(won);
    }

    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn drops_use_patience_up_and_a_slow_line_does_not() {
        let mut drops = Pace::new(60 * SECOND);
        for _ in 0..6 {
            drops.count(10 * SECOND, 1);
        }
        assert!(drops.left() < SECOND, "{drops:?}");

        let mut modem = Pace::new(60 * SECOND);
        for _ in 0..100_000 {
            modem.count(SECOND, 1400);
        }
        modem.count(30 * SECOND, 0);
        assert_eq!(modem.left(), 30 * SECOND, "a good past buys no more than the whole patience");
        modem.count(SECOND, u64::MAX);
        assert_eq!(modem.left(), 60 * SECOND);
    }
}
