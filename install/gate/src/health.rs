//! Whether a service answers well.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use cutover_formats::node_toml::Liveness;
use cutover_http::send_headers;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout};

use super::guard::Rival;
use super::launch::Asks;
use super::not_started::NotStarted;
use super::process::{Exited, Process};
use super::upstream::Address;

/// The shortest and the longest pause between two questions.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// How long one question may stay open; a service that warms up may take a while.
const QUESTION: Duration = Duration::from_secs(10);

/// What is wrong with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ill {
    /// It does not answer, not well, or has ended.
    Service(String),
    /// It has nothing to do with it: somebody else is behind its address.
    Displaced(NotStarted),
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(why) => f.write_str(why),
            Self::Displaced(why) => why.fmt(f),
        }
    }
}

/// Waits until the service answers well; else says what the matter was. Where somebody else is behind
/// its address it says so at once: the service cannot come there any more.
pub(super) async fn wait(process: &Process) -> Result<Duration, Ill> {
    let started = Instant::now();
    let within = process.launch.health.within.as_duration();
    let mut last = "it was not asked".to_owned();
    let asking = async {
        loop {
            match look(process).await {
                Ok(()) => return Ok(()),
                Err(Ill::Service(reason)) => last = reason,
                Err(displaced) => return Err(displaced),
            }
            sleep(pause(started.elapsed())).await;
        }
    };
    tokio::select! {
        biased;
        exited = process.ended() => Err(ended(process, &exited)),
        healthy = timeout(within, asking) => match healthy {
            Ok(healthy) => healthy.map(|()| started.elapsed()),
            Err(_) => Err(Ill::Service(format!(
                "not within {} ({last})", process.launch.health.within
            ))),
        },
    }
}

/// A process may end because somebody else took the port that was free a moment before.
fn ended(process: &Process, exited: &Exited) -> Ill {
    let address = &process.launch.address;
    match address {
        Address::Tcp(port) => match TcpListener::bind(port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let why = format!(
                    "{port}, which was free for it, was taken by another process meanwhile"
                );
                Ill::Displaced(NotStarted::displaced(address, why))
            }
            _ => Ill::Service(exited.to_string()),
        },
        Address::Unix(_) => Ill::Service(exited.to_string()),
    }
}

/// How soon to ask again after waiting for `waited`. Requests that are held wait for the next question
/// too: a thirtieth of what the start takes by itself is as much as that may add.
fn pause(waited: Duration) -> Duration {
    (waited / 30).clamp(PAUSES.0, PAUSES.1)
}

/// Asks once; else says what the matter is.
pub(super) async fn look(process: &Process) -> Result<(), Ill> {
    let path = &process.launch.health.path;
    match ask(process, QUESTION).await {
        Ok(_) if process.launch.asks == Asks::ForAnyAnswer => Ok(()),
        Ok(status) if (200..400).contains(&status.as_u16()) => Ok(()),
        Ok(status) => Err(Ill::Service(format!("GET {path} gave {status}"))),
        Err(error) if Rival::is_behind(&error) => {
            Err(Ill::Displaced(NotStarted::displaced(&process.launch.address, error)))
        }
        Err(error) => Err(Ill::Service(format!("GET {path}: {error}"))),
    }
}

/// Ends when the service has given no answer at all, good or bad, too often in a row.
///
/// A bad answer is left to those who read it: a service whose database is away would not be helped
/// by being started again.
pub(super) async fn stuck(process: &Process) -> String {
    let Liveness { every, within, failures } = process.launch.node.liveness;
    let mut failed = 0;
    loop {
        sleep(every.as_duration().max(PAUSES.0)).await;
        match ask(process, within.as_duration()).await {
            Ok(_) => failed = 0,
            Err(error) => {
                failed += 1;
                let (version, path) = (&process.launch.version, &process.launch.health.path);
                tracing::warn!(%version, failed, "GET {path}: {error}");
                if failures > 0 && failed >= failures {
                    return format!("{failed} questions for its health went unanswered ({error})");
                }
            }
        }
    }
}

async fn ask(process: &Process, within: Duration) -> io::Result<StatusCode> {
    let question = async {
        match &process.launch.address {
            Address::Tcp(address) => get(process.guard.tcp(*address).await?, process).await,
            Address::Unix(path) => get(process.guard.unix(path).await?, process).await,
        }
    };
    timeout(within, question).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn get<S>(stream: S, process: &Process) -> io::Result<StatusCode>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    TokioIo<S>: Read + Write,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let host = match &process.launch.address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    };
    let mut request = Request::get(&process.launch.health.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("cutover-gate/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let fields = request.headers_mut();
    send_headers::set(fields, &process.launch.health.send_headers);
    send_headers::set(fields, &process.launch.node.health.send_headers);
    let mut connection = std::pin::pin!(connection);
    let answer = sender.send_request(request);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer.map(|answer| answer.status()).map_err(io::Error::other),
        // The connection may end in the same moment in which the answer has come.
        ended = &mut connection => {
            ended.map_err(io::Error::other)?;
            answer.await.map(|answer| answer.status()).map_err(io::Error::other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_adds_little_to_the_wait() {
        let pauses = [0, 300, 1500, 600_000].map(|waited| pause(Duration::from_millis(waited)));
        assert_eq!(pauses.map(|pause| pause.as_millis()), [5, 10, 50, 100]);
    }
}
