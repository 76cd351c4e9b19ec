//! A repository that is a folder.

use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::store::{Body, Create, Created, Read, StoreError, Swap, Swapped};

/// A repository in a folder, on a local disk or a network file system.
#[derive(Debug)]
pub struct FileStore {
    base: PathBuf,
}

impl FileStore {
    /// The repository in the folder `base`, which must exist.
    pub fn open(base: &Path) -> Result<Self, StoreError> {
        Ok(Self { base: base.to_owned() })
    }

    /// Makes the folder for a new repository, if it is missing.
    pub fn make(base: &Path) -> Result<(), StoreError> {
        let what = || base.display().to_string();
        std::fs::create_dir_all(base).map_err(|source| StoreError::Io { what: what(), source })
    }
}

fn soon() -> StoreError {
    StoreError::Io { what: "store".to_owned(), source: std::io::ErrorKind::Unsupported.into() }
}

impl Read for FileStore {
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
        self.base.display().to_string()
    }
}

impl Create for FileStore {
    fn create(&self, _path: &str, _body: Body<'_>) -> Result<Created, StoreError> {
        Err(soon())
    }
    fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        Err(soon())
    }
}

impl Swap for FileStore {
    fn swap(&self, _: &str, _: Option<&[u8]>, _: &[u8]) -> Result<Swapped, StoreError> {
        Err(soon())
    }
}
