//! One `GET`, with a limit on its time and on what is read of the answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::http::uri::Scheme;
use hyper::rt::{Read, Write};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::tls::{Tls, TlsError};

/// Most bytes of a body.
const LARGEST: usize = 4 << 20;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// It could not be asked.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not known to be who it should be.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Asks an `http://` or `https://` address; for the latter, `ca_file` may say who vouches for it.
pub(super) fn get_url(
    url: &str,
    ca_file: Option<PathBuf>,
    limit: Duration,
) -> Result<Answer, NoAnswer> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let uri: Uri = url.parse().map_err(|error| wrong(format!("{url}: {error}")))?;
    let host = uri.host().ok_or_else(|| wrong(format!("{url} names no host")))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let (tls, usual) = match uri.scheme() == Some(&Scheme::HTTPS) {
        true => (Some(Tls::new(host, ca_file)?), 443),
        false => (None, 80),
    };
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(usual));
    // Servers that know several sites may know them without a port only.
    let name = if uri.port().is_some() { &address } else { host };
    within(limit, async {
        let stream = TcpStream::connect(&address).await?;
        Ok(match &tls {
            Some(tls) => ask(tls.on(stream).await?, name, path).await?,
            None => ask(stream, name, path).await?,
        })
    })
}

/// Asks `host:port`.
pub(super) fn get_tcp(address: &str, path: &str, limit: Duration) -> Result<Answer, NoAnswer> {
    within(limit, async { Ok(ask(TcpStream::connect(address).await?, address, path).await?) })
}

/// Asks a unix socket.
pub(super) fn get_unix(socket: &Path, path: &str, limit: Duration) -> Result<Answer, NoAnswer> {
    within(limit, async { Ok(ask(UnixStream::connect(socket).await?, "localhost", path).await?) })
}

fn within(
    limit: Duration,
    asking: impl Future<Output = Result<Answer, NoAnswer>>,
) -> Result<Answer, NoAnswer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { tokio::time::timeout(limit, asking).await });
    answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn ask<S>(stream: S, host: &str, path: &str) -> io::Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    TokioIo<S>: Read + Write,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("cutover-install/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    };
    let (asked, mut connection) = (std::pin::pin!(asking), std::pin::pin!(connection));
    let mut asked = asked;
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        // The connection may end in the same moment in which the answer has come.
        ended = &mut connection => {
            ended.map_err(io::Error::other)?;
            asked.await
        }
    }
}
