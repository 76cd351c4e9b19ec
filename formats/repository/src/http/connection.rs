//! The HTTP client, and the runtime that it needs.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cutover_formats::path::RelPath;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Response, Url};
use tokio::runtime::{Builder, Runtime};

use super::Patience;
use super::answer::{self, Trouble};
use super::shown;
use crate::store::StoreError;

const AGENT: &str = concat!("cutover/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTS: usize = 5;
/// Less than servers keep idle connections, so that a request seldom meets a closing one.
const IDLE: Duration = Duration::from_secs(10);

/// A server may stall once, and otherwise has to send this much on average.
const LEAST_PER_SECOND: u64 = 1024;

/// How fast an answer comes.
pub(super) struct Pace {
    stall: Duration,
    waited: Duration,
    received: u64,
}

/// What may not stand in a URL's path as it is.
const NOT_IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A client for one repository.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) base: Url,
    pub(super) patience: Patience,
    /// For GETs.
    pub(super) reader: Client,
    /// Last, because what runs in it uses the rest.
    runtime: Runtime,
}

impl Connection {
    pub(super) fn open(base: &Url, patience: Patience) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StoreError::Io { what: shown(base), source })?;
        let reader = build(
            base,
            client(base, patience).redirect(Policy::custom(follow)).read_timeout(patience.stall),
        )?;
        Ok(Self { base: base.clone(), patience, reader, runtime })
    }

    /// A client for PUTs: it is not sent elsewhere, and an upload takes as long as it takes.
    pub(super) fn writer(&self) -> Result<Client, StoreError> {
        build(&self.base, client(&self.base, self.patience).redirect(Policy::none()))
    }

    /// The URL of a file: always below the base, also for a server that decodes it.
    pub(super) fn url(&self, path: &str) -> Result<Url, StoreError> {
        path.parse::<RelPath>()?;
        percent_decode_str(path).decode_utf8_lossy().parse::<RelPath>()?;
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{}", encoded(path)));
        Ok(url)
    }

    /// How fast an answer has come so far, of which nothing has come yet.
    pub(super) fn pace(&self) -> Pace {
        Pace { stall: self.patience.stall, waited: Duration::ZERO, received: 0 }
    }

    /// The next part of an answer. A server that keeps sending, but next to nothing, is like one that
    /// has fallen silent: only the time spent waiting for it counts.
    pub(super) fn chunk(
        &self,
        response: &mut Response,
        pace: &mut Pace,
    ) -> Result<Option<Bytes>, Trouble> {
        let url = response.url().clone();
        let began = Instant::now();
        let chunk = self.wait(response.chunk()).map_err(|error| answer::failed(&url, error))?;
        pace.waited += began.elapsed();
        pace.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        let allowed = pace.stall + Duration::from_secs(pace.received / LEAST_PER_SECOND);
        if chunk.is_some() && pace.waited > allowed {
            let why = format!("it sends less than {LEAST_PER_SECOND} bytes a second");
            return Err(answer::nonsense(&url, &why));
        }
        Ok(chunk)
    }

    /// Waits for what happens in the runtime. Requests must also begin there: they set timers.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// A path as a URL has it. What is encoded already, as the names of roles are in those of their
/// files, stays as it is: every client of a TUF repository asks for the same name.
fn encoded(path: &str) -> String {
    let is_code = |code: &[u8]| code.len() == 2 && code.iter().all(u8::is_ascii_hexdigit);
    let mut encoded = String::with_capacity(path.len());
    for (at, part) in path.split('%').enumerate() {
        if at > 0 {
            encoded.push_str(if is_code(part.as_bytes().get(..2).unwrap_or_default()) {
                "%"
            } else {
                "%25"
            });
        }
        encoded.extend(utf8_percent_encode(part, NOT_IN_URL));
    }
    encoded
}

fn build(base: &Url, builder: ClientBuilder) -> Result<Client, StoreError> {
    builder.build().map_err(|error| StoreError::Unreachable {
        what: shown(base),
        why: format!("TLS cannot be set up: {}", answer::cause(&error)),
    })
}

fn client(base: &Url, patience: Patience) -> ClientBuilder {
    // Another part of the program may have installed it before: just as good.
    let _ =
        rustls::crypto::CryptoProvider::install_default(rustls::crypto::ring::default_provider());
    let mut builder = Client::builder()
        .user_agent(AGENT)
        .connect_timeout(patience.connect)
        .pool_idle_timeout(IDLE)
        .http1_only();
    if base.scheme() == "http" {
        // Redirects do not lead to https from here, so that a machine without certificates will do.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    builder
}

/// A proxy's loopback is not ours.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let scheme = attempt.previous().first().map(Url::scheme);
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("it redirects without end")
    } else if scheme == Some(attempt.url().scheme()) {
        attempt.follow()
    } else {
        let elsewhere = shown(attempt.url());
        attempt.error(format!("it redirects to {elsewhere}; give an address there instead"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback() {
        for (url, expected) in [
            ("http://localhost:1/", true),
            ("http://127.8.8.8/", true),
            ("http://[::1]:8080/", true),
            ("http://example.org/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn urls_stay_below_the_base() {
        let base = Url::parse("http://u:p@localhost/a%20b/").unwrap();
        let connection = Connection::open(&base, Patience::default()).unwrap();
        let url = connection.url("targets/x?y/1.0.0+z #").unwrap();
        assert_eq!(shown(&url), "http://localhost/a%20b/targets/x%3Fy/1.0.0+z%20%23");
        for (path, expected) in [
            ("metadata/1...%2Fa b.json", "metadata/1...%2Fa%20b.json"),
            ("targets/100%/%zz%2", "targets/100%25/%25zz%252"),
            ("targets/a\\b/ü", "targets/a%5Cb/%C3%BC"),
        ] {
            let url = connection.url(path).unwrap();
            assert_eq!(shown(&url), format!("http://localhost/a%20b/{expected}"));
        }
        for out in ["../x", "a/%2e%2E/x", "a/%2e./x", "a%2F..%2Fx", "/x", "%2Fx", "a%00"] {
            assert!(connection.url(out).is_err(), "{out}");
        }
    }
}
