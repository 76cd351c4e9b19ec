//! A client's connection that is not waited for without end.
//!
//! A client that asks for much and reads nothing keeps a worker of the service, and the buffers
//! on the way, for as long as it likes. Where the system takes no more bytes for it during the whole
//! *patience*, the connection ends. The system in turn is told to take only [`AHEAD`] bytes that
//! it cannot send yet, so that its taking more means that the client took some.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::joined::Joined;
use super::refusal::Refusals;
use super::slow::{SlowClient, SlowClients};
use super::visit::Pulse;

/// Most bytes that the system holds for a client that cannot be sent yet.
const AHEAD: u32 = 128 * 1024;

/// Bytes that are taken and thrown away at once.
const DISCARDED: usize = 4096;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: Joined<TcpStream>,
    pulse: Arc<Pulse>,
    patience: Duration,
    slow: Arc<SlowClients>,
    address: IpAddr,
    stalled: Option<Box<Stalled>>,
    refusals: Refusals,
    /// Requests that are answered to their end, with nothing left to write.
    answered: u32,
    /// What is left to write of an answer in place of hyper's.
    refusal: Vec<u8>,
    /// Whether the client has been told that nothing more comes.
    ended: bool,
}

/// What a client pays that takes nothing at the moment.
#[derive(Debug)]
struct Stalled {
    end: Pin<Box<Sleep>>,
    counted: SlowClient,
}

impl Stream {
    /// The connection `tcp`, whose client may take nothing for at most `patience`.
    pub(super) fn new(
        tcp: TcpStream,
        pulse: Arc<Pulse>,
        patience: Duration,
        (refusals, slow, address): (Refusals, Arc<SlowClients>, IpAddr),
    ) -> Self {
        // Both fail only on a connection that is gone already.
        drop(tcp.set_nodelay(true));
        drop(socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(AHEAD));
        Self {
            tcp: Joined(tcp),
            pulse,
            patience,
            slow,
            address,
            stalled: None,
            refusals,
            answered: 0,
            refusal: Vec::new(),
            ended: false,
        }
    }

    /// Whether nobody has asked anything that is not answered yet: then it is hyper that speaks, and
    /// refuses what it cannot read. It has the whole head in one piece.
    fn is_unasked(&self) -> bool {
        self.pulse.asked() == self.answered && self.pulse.is_answered()
    }

    /// Lays another answer ready in place of hyper's own.
    fn refuse(&mut self, bare: &[u8]) -> bool {
        let Some(refusal) = self.refusals.in_place_of(bare) else { return false };
        self.refusal = refusal;
        self.pulse.linger();
        true
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
        let Self { stalled, slow, address, patience, .. } = self;
        let stalled = stalled.get_or_insert_with(|| {
            let end = Box::pin(tokio::time::sleep(*patience));
            Box::new(Stalled { end, counted: slow.wait(*address) })
        });
        if stalled.counted.is_to_end(cx.waker()) {
            return Poll::Ready(Err(io::Error::other("too much lies unread by clients")));
        }
        ready!(stalled.end.as_mut().poll(cx));
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
        if self.is_unasked() && self.refuse(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let ([piece], true) = (pieces, self.is_unasked())
            && self.refuse(piece)
        {
            return Poll::Ready(Ok(piece.len()));
        }
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let Self { tcp, refusal, .. } = &mut *self;
            let written = ready!(Pin::new(tcp).poll_write(cx, refusal))?;
            refusal.drain(..written);
        }
        ready!(Pin::new(&mut self.tcp).poll_flush(cx))?;
        if self.pulse.is_answered() {
            self.answered = self.pulse.asked();
        }
        Poll::Ready(Ok(()))
    }

    /// Where the client may still be sending, what it sends is taken until it closes, or is silent for
    /// too long. A connection that is closed with something unread is reset, and the client may never
    /// read the answer that it got.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended {
            ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
            self.ended = true;
        }
        while self.pulse.lingers() {
            let mut room = [0; DISCARDED];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut room))?;
            if room.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
