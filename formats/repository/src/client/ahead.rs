//! Asking ahead: what a refresh will need, fetched before anybody has to wait for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::store::{Read, StoreError};

/// A store that is asked once: what came of a question is kept, and given when it is asked again.
pub(super) struct Ahead<'s> {
    store: &'s dyn Read,
    answers: Mutex<BTreeMap<String, Result<Vec<u8>, StoreError>>>,
}

impl<'s> Ahead<'s> {
    /// Nothing was asked yet.
    pub(super) fn of(store: &'s dyn Read) -> Self {
        Self { store, answers: Mutex::default() }
    }
}

impl Read for Ahead<'_> {
    /// An error is told in its own words the second time: whoever asks ahead only wants to know whether
    /// there is one.
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.remove(path) {
            return answer;
        }
        let answer = self.store.get(path, cap);
        let copy = match &answer {
            Ok(bytes) => Ok(bytes.clone()),
            // Both end the chain of roots.
            Err(error) if error.ends_roots() => Err(StoreError::NotFound { what: path.to_owned() }),
            Err(error) => {
                let what = self.store.describe();
                Err(StoreError::Unreachable { what, why: error.to_string() })
            }
        };
        answers.insert(path.to_owned(), answer);
        copy
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
