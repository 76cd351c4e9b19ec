//! A connection to the service on which an answer is heard although the request was not.
//!
//! A service may answer before it has read the body of a request, and close. Whatever is written then
//! fails, while the answer lies there: the system keeps what has arrived until it is read, also after a
//! reset. So a write that fails because the service has closed counts as done, its bytes are dropped,
//! and reading goes on to the answer, or to the end.
//!
//! Of a request that may be sent once more, the connection keeps what it wrote until a byte of an answer
//! has come. When it has become a tunnel, nothing is kept, and a write after the service's last word fails.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::{Method, Request, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::inbound::Inbound;
use super::joined::Joined;

/// More fields than a request can have that has passed the gate.
const MOST_FIELDS: usize = 128;

/// Longest head that is kept while a connection is idle, bytes.
const LONGEST_KEPT: usize = 4096;

/// A connection to the service.
#[derive(Debug)]
pub(super) struct ServiceStream<S> {
    inner: Joined<S>,
    /// Whether the service takes no more.
    closed: bool,
    /// Whether it has said its last word.
    silent: bool,
    exchange: Arc<Exchange>,
}

/// A request and its answer, as far as they are seen on the connection.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Whether the request is kept: it may be sent once more, and no byte of the answer has come.
    keeps: AtomicBool,
    /// Whether the connection carries something else than HTTP by now.
    is_tunnel: AtomicBool,
    /// The request, as it was written.
    sent: Mutex<Vec<u8>>,
}

impl Exchange {
    /// A request comes next that can be sent but once.
    pub(super) fn begin(&self) {
        self.keeps.store(false, Ordering::Relaxed);
    }

    /// A request without a body comes next that may be sent once more.
    pub(super) fn begin_repeatable(&self) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.clear();
        sent.shrink_to(LONGEST_KEPT);
        self.keeps.store(true, Ordering::Relaxed);
    }

    /// No request comes any more: the service has switched to another protocol.
    pub(super) fn become_tunnel(&self) {
        self.keeps.store(false, Ordering::Relaxed);
        self.is_tunnel.store(true, Ordering::Relaxed);
    }

    /// The request, where it may be sent once more and no byte of an answer has come.
    pub(super) fn unanswered(&self) -> Option<Request<Inbound>> {
        if !self.keeps.load(Ordering::Relaxed) {
            return None;
        }
        read_back(&self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, pieces: &[IoSlice<'_>], mut written: usize) {
        if !self.keeps.load(Ordering::Relaxed) {
            return;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in pieces {
            let part = &piece[..piece.len().min(written)];
            sent.extend_from_slice(part);
            written -= part.len();
        }
    }
}

/// A request without a body from its bytes. Keeping a copy of the fields for each request that goes well
/// would cost more than to read the few again that do not.
fn read_back(bytes: &[u8]) -> Option<Request<Inbound>> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    if head.parse(bytes).ok()? != httparse::Status::Complete(bytes.len()) {
        return None;
    }
    let method = Method::from_bytes(head.method?.as_bytes()).ok()?;
    let mut request = Request::builder().method(method).uri(head.path?).version(Version::HTTP_11);
    for field in head.headers.iter() {
        request = request.header(field.name, field.value);
    }
    request.body(Inbound::none()).ok()
}

impl<S> ServiceStream<S> {
    /// The connection `stream`.
    pub(super) fn new(stream: S, exchange: Arc<Exchange>) -> Self {
        Self { inner: Joined(stream), closed: false, silent: false, exchange }
    }

    fn settle(
        &mut self,
        written: Poll<io::Result<usize>>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match written {
            Poll::Ready(Err(error)) if has_closed(&error) && !self.is_over() => {
                self.closed = true;
                Poll::Ready(Ok(length(pieces)))
            }
            written => written,
        };
        if let Poll::Ready(Ok(bytes)) = &written {
            self.exchange.keep(pieces, *bytes);
        }
        written
    }

    /// Whether nothing more can come of it: else a tunnel would stay for a client that goes on talking.
    fn is_over(&self) -> bool {
        self.silent && self.exchange.is_tunnel.load(Ordering::Relaxed)
    }
}

fn length(pieces: &[IoSlice<'_>]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

fn has_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl<S: AsyncRead + Unpin> AsyncRead for ServiceStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, had_room) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.exchange.keeps.store(false, Ordering::Relaxed);
        } else if had_room && read.is_ready() {
            self.silent = true;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ServiceStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.closed {
            true if self.is_over() => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            true => Poll::Ready(Ok(length(pieces))),
            false => Pin::new(&mut self.inner).poll_write_vectored(cx, pieces),
        };
        self.settle(written, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn what_a_service_said_before_it_closed_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = ServiceStream::new(stream, Arc::default());
        let (mut service, _) = listener.accept().await.unwrap();
        stream.write_all(b"unread").await.unwrap();
        service.readable().await.unwrap();
        service.write_all(b"answer").await.unwrap();
        drop(service);
        let piece = [0; 1 << 16];
        while !stream.closed {
            stream.write_all(&piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(&piece).await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[tokio::test]
    async fn a_tunnel_ends_with_the_last_word_of_a_service_that_takes_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let exchange = Arc::new(Exchange::default());
        let mut stream = ServiceStream::new(stream, exchange.clone());
        let (mut service, _) = listener.accept().await.unwrap();
        exchange.become_tunnel();
        stream.write_all(b"unread").await.unwrap();
        service.readable().await.unwrap();
        service.write_all(b"last").await.unwrap();
        drop(service);
        while !stream.closed {
            stream.write_all(b"more").await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut last = Vec::new();
        // Its end may be seen as one, or as an error.
        let _ = stream.read_to_end(&mut last).await;
        assert_eq!(last, b"last");
        let refused = stream.write_all(b"more").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_what_comes_after_an_answer() {
        let (stream, mut service) = tokio::io::duplex(1 << 20);
        let exchange = Arc::new(Exchange::default());
        let mut stream = ServiceStream::new(stream, exchange.clone());
        let head = b"GET / HTTP/1.1\r\nhost: s\r\nupgrade: websocket\r\n\r\n";
        exchange.begin_repeatable();
        stream.write_all(head).await.unwrap();
        assert!(exchange.unanswered().is_some());
        service.write_all(b"HTTP/1.1 101 ").await.unwrap();
        stream.read_exact(&mut [0; 13]).await.unwrap();
        stream.write_all(&[0; 1 << 16]).await.unwrap();
        assert!(exchange.unanswered().is_none());
        assert_eq!(exchange.sent.lock().unwrap().len(), head.len());
    }

    #[test]
    fn a_request_is_read_back_as_it_was_written() {
        let exchange = Exchange::default();
        let bytes = b"GET /a?b HTTP/1.1\r\nhost: s\r\nx-two: 1\r\nx-two: \xff\r\n\r\n";
        let (first, second) = bytes.split_at(9);
        exchange.begin_repeatable();
        exchange.keep(&[IoSlice::new(first), IoSlice::new(second)], bytes.len() - 1);
        assert!(exchange.unanswered().is_none(), "its end is missing");
        exchange.keep(&[IoSlice::new(b"\n")], 1);
        let request = exchange.unanswered().unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string()),
            (&Method::GET, "/a?b".to_owned())
        );
        let values: Vec<_> = request.headers().get_all("x-two").iter().collect();
        assert_eq!(values, [&b"1"[..], b"\xff"]);
        exchange.begin();
        assert!(exchange.unanswered().is_none());
    }
}
