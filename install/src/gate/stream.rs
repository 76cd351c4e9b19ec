//! A client's connection that is not waited for without end.
//!
//! A client that asks for much and reads nothing keeps a worker of the service, and the buffers
//! on the way, for as long as it likes. Where the system takes no more bytes for it during the whole
//! *patience*, the connection ends. The system in turn is told to take only [`AHEAD`] bytes that
//! it cannot send yet, so that its taking more means that the client took some.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::joined::Joined;
use super::visit::Pulse;

/// Most bytes that the system holds for a client that cannot be sent yet.
const AHEAD: u32 = 128 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: Joined<TcpStream>,
    pulse: Arc<Pulse>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// The connection `tcp`, whose client may take nothing for at most `patience`.
    pub(super) fn new(tcp: TcpStream, pulse: Arc<Pulse>, patience: Duration) -> Self {
        // Both fail only on a connection that is gone already.
        drop(tcp.set_nodelay(true));
        drop(socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(AHEAD));
        Self { tcp: Joined(tcp), pulse, patience, stalled: None }
    }

    fn watch(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            self.pulse.stir();
            return written;
        }
        let patience = self.patience;
        let end = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(end.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
