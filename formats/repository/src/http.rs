//! A repository that is behind HTTP.

use reqwest::Url;
use tempfile::NamedTempFile;

use crate::secret::Secret;
use crate::store::{Body, Create, Created, Read, StoreError, Swap, Swapped};

/// A repository on an HTTP server.
#[derive(Debug)]
pub struct HttpStore {
    base: Url,
    _token: Option<Secret>,
}

impl HttpStore {
    /// The repository at `base`; nothing is asked of the server yet.
    pub fn open(base: &Url, token: Option<Secret>) -> Result<Self, StoreError> {
        Ok(Self { base: base.clone(), _token: token })
    }
}

fn soon() -> StoreError {
    StoreError::Io { what: "store".to_owned(), source: std::io::ErrorKind::Unsupported.into() }
}

impl Read for HttpStore {
    fn get(&self, _path: &str, _cap: u64) -> Result<Vec<u8>, StoreError> {
        Err(soon())
    }
    fn stream(
        &self,
        _path: &str,
        _from: u64,
        _cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        Err(soon())
    }
    fn describe(&self) -> String {
        crate::location::shown(&self.base)
    }
}

impl Create for HttpStore {
    fn create(&self, _path: &str, _body: Body<'_>) -> Result<Created, StoreError> {
        Err(soon())
    }
    fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        Err(soon())
    }
}

impl Swap for HttpStore {
    fn swap(&self, _: &str, _: Option<&[u8]>, _: &[u8]) -> Result<Swapped, StoreError> {
        Err(soon())
    }
}
