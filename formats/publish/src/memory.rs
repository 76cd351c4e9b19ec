//! A repository in memory, with somebody who may interfere before every call.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::sync::{Arc, Mutex};

use cutover_repository::store::{Body, Create, Created, Read, StoreError, Swap, Swapped};
use tempfile::NamedTempFile;

/// The files, shared by all who look at the repository.
pub(super) type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// What is done to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is carried out.
    Done,
    /// It fails and changes nothing.
    Fails,
    /// It is carried out, and the answer is lost.
    Unanswered,
}

/// One view of the repository.
pub(super) struct Memory<'a> {
    pub(super) files: Files,
    pub(super) name: &'static str,
    /// Decides over the n-th call.
    pub(super) fate: Box<dyn Fn(u32) -> Fate + Sync + Send + 'a>,
    pub(super) calls: Mutex<u32>,
}

impl<'a> Memory<'a> {
    pub(super) fn new(files: &Files, name: &'static str) -> Self {
        Self::with(files, name, |_| Fate::Done)
    }

    pub(super) fn with(
        files: &Files,
        name: &'static str,
        fate: impl Fn(u32) -> Fate + Sync + Send + 'a,
    ) -> Self {
        Self { files: Arc::clone(files), name, fate: Box::new(fate), calls: Mutex::new(0) }
    }

    pub(super) fn calls(&self) -> u32 {
        *self.calls.lock().unwrap()
    }

    fn call<T>(&self, path: &str, act: impl FnOnce(&Self) -> T) -> Result<T, StoreError> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls - 1
        };
        let lost = || StoreError::Unreachable { what: path.to_owned(), why: "a test".to_owned() };
        match (self.fate)(number) {
            Fate::Done => Ok(act(self)),
            Fate::Fails => Err(lost()),
            Fate::Unanswered => {
                act(self);
                Err(lost())
            }
        }
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let found = self.files.lock().unwrap().get(path).cloned();
        found.ok_or_else(|| StoreError::NotFound { what: path.to_owned() })
    }
}

impl Read for Memory<'_> {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.call(path, |this| this.bytes(path))??;
        if bytes.len() as u64 > cap {
            return Err(StoreError::TooLarge { what: path.to_owned(), cap });
        }
        Ok(bytes)
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        let bytes = self.call(path, |this| this.bytes(path))??;
        let mut cursor = Cursor::new(bytes);
        cursor.set_position(from);
        Ok(Box::new(cursor.take(cap)))
    }

    fn describe(&self) -> String {
        self.name.to_owned()
    }
}

impl Create for Memory<'_> {
    fn create(&self, path: &str, body: Body<'_>) -> Result<Created, StoreError> {
        let bytes = match body {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::File(file) => std::fs::read(file).unwrap(),
        };
        self.call(path, |this| {
            let mut files = this.files.lock().unwrap();
            if files.contains_key(path) {
                return Created::Exists;
            }
            files.insert(path.to_owned(), bytes);
            Created::New
        })
    }

    fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        Ok(NamedTempFile::new().unwrap())
    }
}

impl Swap for Memory<'_> {
    fn swap(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<Swapped, StoreError> {
        self.call(path, |this| {
            let mut files = this.files.lock().unwrap();
            if files.get(path).map(Vec::as_slice) != expected {
                return Swapped::Changed;
            }
            files.insert(path.to_owned(), new.to_vec());
            Swapped::Done
        })
    }
}
