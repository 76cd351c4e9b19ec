//! A connection that gives up on a peer who takes nothing, or next to nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::pace::{Pace, Rules};

/// Fails a write with `TimedOut` when its peer is slower than the rules allow.
#[derive(Debug)]
pub struct Stall<S> {
    stream: S,
    pace: Pace,
    /// Only while the peer keeps us waiting.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Stall<S> {
    /// Watches the peer of `stream`.
    pub fn new(stream: S, rules: Rules) -> Self {
        Self { stream, pace: Pace::new(rules), waiting: None }
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = &poll {
            let waited = self.waiting.take().map(|(since, _)| since.elapsed());
            self.pace.moved(waited.unwrap_or_default(), *written.as_ref().unwrap_or(&0));
            return poll;
        }
        let left = self.pace.left();
        let (_, waiting) =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const RULES: Rules = Rules { patience: Duration::from_secs(60), rate: 1024 };

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn gives_up_on_who_takes_nothing() {
        runtime().block_on(async {
            let (ours, _theirs) = tokio::io::duplex(10);
            let rules = Rules { patience: Duration::from_millis(20), ..RULES };
            let error = Stall::new(ours, rules).write_all(&[0; 11]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn does_not_wait_where_there_is_no_need() {
        runtime().block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(10);
            let reader = tokio::spawn(async move {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).await.unwrap();
                all.len()
            });
            let mut stalled = Stall::new(ours, RULES);
            stalled.write_all(&[0; 1000]).await.unwrap();
            drop(stalled);
            assert_eq!(reader.await.unwrap(), 1000);
        });
    }
}
