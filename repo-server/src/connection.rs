//! One connection, from its acceptance to its end.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutover_http::stall::Stall;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::route;
use crate::site::Site;

/// How long a client may take for its headers, or be idle between two requests.
const HEADERS: Duration = Duration::from_secs(30);
/// How long a client that is turned away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that the kernel holds of an answer and has not sent. Without a bound it takes megabytes from a
/// slow client's answer, and then nothing for as long as the client needs for them.
const UNSENT: u32 = 128 << 10;
const TURNED_AWAY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\n\
    Content-Length: 42\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
    you have all the connections that you may\n";

/// Which service a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// The repository.
    Repository,
    /// The numbers, for who watches the server.
    Metrics,
}

/// Serves a connection until it ends, or is told to stop.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    face: Face,
    site: Arc<Site>,
    stop: watch::Receiver<bool>,
) {
    // Without them answers only come later, or slow clients are noticed later.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
    site.metrics.connections.fetch_add(1, Ordering::Relaxed);
    let ended = match face {
        Face::Repository => {
            let service = |request| route::answer(site.clone(), peer, request);
            drive(&site, stream, service_fn(service), stop).await
        }
        Face::Metrics => {
            let service = |request| route::metrics(site.clone(), request);
            drive(&site, stream, service_fn(service), stop).await
        }
    };
    site.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    if let Err(error) = ended {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) {
            site.metrics.slow_reader.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%peer, "closed: it takes less than --min-rate of an answer");
        } else {
            tracing::debug!(%peer, "connection: {error}");
        }
    }
}

async fn drive<S, B>(
    site: &Site,
    stream: TcpStream,
    service: S,
    mut stop: watch::Receiver<bool>,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(Stall::new(stream, site.rules)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Tells a client that has all the connections it may have, and closes.
pub(crate) async fn turn_away(mut stream: TcpStream) {
    let _ = tokio::time::timeout(FAREWELL, async {
        stream.write_all(TURNED_AWAY).await?;
        stream.shutdown().await?;
        // Closed with bytes that were not read it would be reset, and the answer lost.
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
}

/// Waits until it is told to stop. (Nobody being left to tell means the same.)
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_is_turned_away_with_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TURNED_AWAY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
