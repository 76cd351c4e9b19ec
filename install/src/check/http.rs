//! One `GET`, with a limit on its time and on what is read of the answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_formats::send_headers::SendHeaders;
use cutover_http::send_headers;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::http::uri::Scheme;
use hyper::rt::{Read, Write};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::connect::connect;
use super::limit::within;
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

/// How something is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Fields beside those that it always has.
    pub(super) send: &'a SendHeaders,
    /// How long it may take, the look-up of a name included.
    pub(super) limit: Duration,
}

impl Question<'_> {
    /// Asks an `http://` or `https://` address; for the latter, `ca_file` may say who vouches for it.
    pub(super) fn to_url(self, url: &str, ca_file: Option<PathBuf>) -> Result<Answer, NoAnswer> {
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
        within(self.limit, async {
            let stream = connect(&address).await?;
            Ok(match &tls {
                Some(tls) => self.ask(tls.on(stream).await?, name, path).await?,
                None => self.ask(stream, name, path).await?,
            })
        })
    }

    /// Asks `host:port`.
    pub(super) fn to_tcp(self, address: &str, path: &str) -> Result<Answer, NoAnswer> {
        within(self.limit, async { Ok(self.ask(connect(address).await?, address, path).await?) })
    }

    /// Asks a unix socket.
    pub(super) fn to_unix(self, socket: &Path, path: &str) -> Result<Answer, NoAnswer> {
        within(self.limit, async {
            Ok(self.ask(UnixStream::connect(socket).await?, "localhost", path).await?)
        })
    }

    async fn ask<S>(self, stream: S, host: &str, path: &str) -> io::Result<Answer>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        TokioIo<S>: Read + Write,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let mut request = Request::get(path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("cutover-install/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        send_headers::set(request.headers_mut(), self.send);
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
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};

    use super::*;

    #[test]
    fn a_question_carries_what_it_is_told_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).unwrap();
            }
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            head.to_ascii_lowercase()
        });
        let fields = [("Host", "site.example"), ("X-Probe", "yes")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let send = &SendHeaders::try_from(std::collections::BTreeMap::from(fields)).unwrap();
        let question = Question { send, limit: Duration::from_secs(10) };
        assert_eq!(question.to_tcp(&address, "/").unwrap().status, 200);
        let head = serving.join().unwrap();
        for field in ["host: site.example", "x-probe: yes", "connection: close"] {
            assert_eq!(head.matches(&format!("\r\n{field}\r\n")).count(), 1, "{head}");
        }
        assert_eq!(head.matches("host:").count(), 1, "{head}");
    }
}
