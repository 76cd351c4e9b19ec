//! The gate's numbers, in the text format that Prometheus reads, on an address of their own.
//!
//! Not on the address that clients reach: behind a front end every client comes from loopback, and
//! what versions run here, and how much they are used, is not everybody's business.

mod text;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutover_http::metrics::MEDIA_TYPE;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::supervisor::Supervisor;

/// How long whoever asks may take, for the question and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many may ask at once.
const MOST_ASKING: usize = 16;

/// How long to wait after the address could not be had, or a connection not be taken.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves for ever. An address that is taken is tried again: numbers are no reason to refuse
/// requests, and the gate before this one may let go of it soon.
pub(super) async fn serve(address: SocketAddr, supervisor: Rc<Supervisor>) {
    let mut failed: Option<io::ErrorKind> = None;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if failed == Some(error.kind()) => {}
            Err(error) => {
                tracing::error!(%address, %error, "cannot listen for metrics, trying again");
                failed = Some(error.kind());
            }
        }
        sleep(PAUSE).await;
    };
    tracing::info!(%address, "metrics are served");
    let places = Arc::new(Semaphore::new(MOST_ASKING));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let supervisor = supervisor.clone();
                tokio::task::spawn_local(async move {
                    drop(tokio::time::timeout(PATIENCE, converse(stream, supervisor)).await);
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for metrics");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, supervisor: Rc<Supervisor>) {
    let service = service_fn(|request| {
        let answer = answer(&request, &supervisor);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut builder = Builder::new();
    builder.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection for metrics ended");
    }
}

fn answer(request: &Request<Incoming>, supervisor: &Supervisor) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, supervisor.metrics()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "the numbers are at /metrics\n".to_owned()),
    };
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(MEDIA_TYPE);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

impl Supervisor {
    fn metrics(&self) -> String {
        text::render(&text::Numbers {
            status: self.status(),
            figures: self.figures(),
            releases: self.shared.meters.read(),
            own: self.shared.meters.own.read(),
            resent: self.shared.tally.resent.load(Ordering::Relaxed),
            connections: self.shared.doors.open() as u64,
            slow: self.shared.slow.waiting(),
            slow_ended: self.shared.slow.ended(),
            lines_waiting: self.shared.access_log.as_ref().map_or(0, |log| log.waiting()),
            lines_lost: self.shared.access_log.as_ref().map_or(0, |log| log.lost()),
            turned_away: self.shared.doors.turned_away(),
            log_lines_lost: cutover_terminal::log_lines_lost(),
            panics: cutover_terminal::panics(),
        })
    }
}
