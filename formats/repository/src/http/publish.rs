//! Publishing to a server with conditional PUTs.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use cutover_formats::digest::Digest;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use tempfile::NamedTempFile;

use super::shown;
use super::upload::{self, Answer};
use super::{HttpStore, Patience, answer};
use crate::store::{Body, Create, Created, Read, StoreError, Swap, Swapped};
use cutover_formats::secret::Secret;

/// From this size on it pays to ask first whether a file is there already.
const LARGE: u64 = 1 << 20;

/// A repository on an HTTP server, for publishing.
#[derive(Debug)]
pub struct HttpPublisher {
    store: HttpStore,
    writer: Client,
    authorization: Option<HeaderValue>,
}

impl HttpPublisher {
    /// The repository at `base`; `token` goes with every PUT and nothing else.
    pub fn open(base: &Url, token: Option<Secret>) -> Result<Self, StoreError> {
        Self::open_with(base, token, Patience::default())
    }

    /// The same with other timeouts.
    pub fn open_with(
        base: &Url,
        token: Option<Secret>,
        patience: Patience,
    ) -> Result<Self, StoreError> {
        let store = HttpStore::open_with(base, patience)?;
        let authorization = token.map(|token| bearer(base, &token)).transpose()?;
        Ok(Self { writer: store.connection.writer()?, store, authorization })
    }

    fn put(&self, url: &Url) -> RequestBuilder {
        let request = self.writer.put(url.clone());
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    fn send_bytes(
        &self,
        url: &Url,
        request: RequestBuilder,
        bytes: &[u8],
    ) -> Result<Answer, StoreError> {
        self.send(url, request.body(bytes.to_vec()), &AtomicU64::new(0))
    }

    fn send_file(
        &self,
        url: &Url,
        request: RequestBuilder,
        path: &Path,
    ) -> Result<Answer, StoreError> {
        let upload = upload::File::open(path)
            .map_err(|source| StoreError::Io { what: path.display().to_string(), source })?;
        if upload.length >= LARGE && self.has(url)? {
            let status = StatusCode::PRECONDITION_FAILED;
            return Ok(Answer { status, words: String::new(), after: None });
        }
        let request = request.header(CONTENT_LENGTH, upload.length);
        let sent = upload.sent.clone();
        self.send(url, request.body(upload.into_body()), &sent)
    }

    fn send(
        &self,
        url: &Url,
        request: RequestBuilder,
        sent: &AtomicU64,
    ) -> Result<Answer, StoreError> {
        let connection = &self.store.connection;
        match connection.wait(upload::send(request, connection.patience.store, sent)) {
            Ok(Some(Answer { status, after: Some(after), .. })) => {
                Err(answer::busy(url, status, after))
            }
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(StoreError::Unreachable {
                what: shown(url),
                why: "it takes nothing more of what is sent, and does not answer".to_owned(),
            }),
            Err(error) => Err(answer::failed(url, error).into()),
        }
    }

    /// Whether there is a file already. Asks for its second byte, so that it may be a large one.
    fn has(&self, url: &Url) -> Result<bool, StoreError> {
        match self.store.ask(url, 1, 1) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn bearer(base: &Url, token: &Secret) -> Result<HeaderValue, StoreError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| {
        StoreError::Denied {
            what: shown(base),
            why: "the token has characters that no token has".to_owned(),
            hint: "look at CUTOVER_TOKEN: perhaps it ends in a newline".to_owned(),
        }
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Read for HttpPublisher {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get(path, cap)
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        self.store.stream(path, from, cap)
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}

impl Create for HttpPublisher {
    fn create(&self, path: &str, body: Body<'_>) -> Result<Created, StoreError> {
        let url = self.store.connection.url(path)?;
        let request = self.put(&url).header(IF_NONE_MATCH, "*");
        let answer = match body {
            Body::Bytes(bytes) => self.send_bytes(&url, request, bytes)?,
            Body::File(path) => self.send_file(&url, request, path)?,
        };
        match answer.status {
            StatusCode::PRECONDITION_FAILED => Ok(Created::Exists),
            status if status.is_success() => Ok(Created::New),
            status => Err(answer::refused(&url, status, &answer.words)),
        }
    }

    fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        let what = || std::env::temp_dir().display().to_string();
        NamedTempFile::new().map_err(|source| StoreError::Io { what: what(), source })
    }
}

impl Swap for HttpPublisher {
    fn swap(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<Swapped, StoreError> {
        let url = self.store.connection.url(path)?;
        let request = match expected {
            Some(bytes) => self.put(&url).header(IF_MATCH, format!("\"{}\"", Digest::of(bytes))),
            None => self.put(&url).header(IF_NONE_MATCH, "*"),
        };
        let answer = self.send_bytes(&url, request, new)?;
        match answer.status {
            StatusCode::PRECONDITION_FAILED => Ok(Swapped::Changed),
            status if status.is_success() => Ok(Swapped::Done),
            status => Err(answer::refused(&url, status, &answer.words)),
        }
    }
}
