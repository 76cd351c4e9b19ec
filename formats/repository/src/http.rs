//! A repository behind an HTTP server.
//!
#![doc = include_str!("../../docs/http.md")]

mod answer;
mod coding;
mod connection;
mod publish;
mod stream;
mod upload;

use std::time::Duration;

use reqwest::Response;
pub use reqwest::Url;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, RANGE};

use crate::store::{Read, StoreError};
use answer::Trouble;
use connection::Connection;
pub use publish::HttpPublisher;

/// Pauses before a GET is tried again. Short: what takes longer than two seconds to come back
/// is better said than waited for.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

/// How long a silent server is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Between two bytes of an answer.
    pub stall: Duration,
    /// Between two bytes that the server takes of an upload, and until it has stored it.
    pub store: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            store: Duration::from_secs(120),
        }
    }
}

/// A repository on an HTTP server, for reading.
///
/// Any server of static files will do. It is asked with plain GETs; a Range is only sent for a part
/// that does not begin at 0, and a server that ignores it costs time but works.
#[derive(Debug)]
pub struct HttpStore {
    connection: Connection,
}

impl HttpStore {
    /// The repository at `base`; nothing is asked of the server yet.
    pub fn open(base: &Url) -> Result<Self, StoreError> {
        Self::open_with(base, Patience::default())
    }

    /// The same with other timeouts.
    pub fn open_with(base: &Url, patience: Patience) -> Result<Self, StoreError> {
        Ok(Self { connection: Connection::open(base, patience)? })
    }

    /// The answer to a GET of `url` from offset `from`, or `None` where the file ends before.
    /// Says how many bytes of the answer come before that offset.
    fn ask(&self, url: &Url, from: u64, last: u64) -> Result<Option<(Response, u64)>, StoreError> {
        self.again(|| {
            let mut request = self.connection.reader.get(url.clone());
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-{last}"));
            }
            let sent = self.connection.wait(async { request.send().await });
            answer::read(url, from, sent.map_err(|error| answer::failed(url, error))?)
        })
    }

    /// Tries until it works, or fails in a way that trying again does not mend.
    fn again<T>(&self, mut get: impl FnMut() -> Result<T, Trouble>) -> Result<T, StoreError> {
        for pause in PAUSES {
            match get() {
                Err(Trouble::Passing(error)) => {
                    tracing::debug!("{error}; trying again");
                    std::thread::sleep(pause);
                }
                other => return other.map_err(Trouble::into),
            }
        }
        get().map_err(Trouble::into)
    }

    fn get_once(&self, url: &Url, cap: u64) -> Result<Vec<u8>, Trouble> {
        let too_large = || Trouble::Lasting(StoreError::TooLarge { what: shown(url), cap });
        let request = self.connection.reader.get(url.clone()).header(ACCEPT_ENCODING, coding::ZSTD);
        let sent = self.connection.wait(async { request.send().await });
        let (mut response, _) =
            answer::read(url, 0, sent.map_err(|error| answer::failed(url, error))?)?.ok_or_else(
                || answer::nonsense(url, "it answered 416 to a request without Range"),
            )?;
        let length = response.headers().get(CONTENT_LENGTH).and_then(|text| text.to_str().ok());
        if length.and_then(|text| text.parse().ok()).is_some_and(|length: u64| length > cap) {
            return Err(too_large());
        }
        let (mut bytes, mut pace) = (Vec::new(), self.connection.pace());
        while let Some(chunk) = self.connection.chunk(&mut response, &mut pace)? {
            if bytes.len() as u64 + chunk.len() as u64 > cap {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        match coding::of(&response) {
            None => Ok(bytes),
            Some(coding::ZSTD) => coding::decode(url, &bytes, cap),
            Some(_) => {
                Err(answer::nonsense(url, "it sent a Content-Encoding that nobody asked for"))
            }
        }
    }
}

/// A URL as it may be shown: without credentials.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

impl Read for HttpStore {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let url = self.connection.url(path)?;
        self.again(|| self.get_once(&url, cap))
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        let url = self.connection.url(path)?;
        Ok(Box::new(stream::Stream::open(self, url, from, cap)?))
    }

    fn describe(&self) -> String {
        shown(&self.connection.base).trim_end_matches('/').to_owned()
    }
}
