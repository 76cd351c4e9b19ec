//! Waiting for a repository that asks for it: an answer of 429 or 503 that says when to come back.
//!
//! Where there are several places the next one is asked first ([`crate::mirrors`]); who publishes has
//! only one, which [`Patient`] waits for.

use std::time::Duration;

use tempfile::NamedTempFile;

use crate::store::{Body, Create, Created, Read, StoreError, Swap, Swapped};

/// The longest that is waited for one thing, in all.
pub const LONGEST: Duration = Duration::from_secs(60);
/// A server that says "at once" gets that long at least.
const SHORTEST: Duration = Duration::from_secs(1);

/// How much longer may be waited.
pub(crate) struct Waits {
    left: Duration,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self { left: LONGEST }
    }

    /// How long to wait now, where `asked` for; `None` where it was long enough.
    pub(crate) fn next(&mut self, asked: Duration) -> Option<Duration> {
        let wait = asked.max(SHORTEST).min(self.left);
        self.left -= wait;
        (!wait.is_zero()).then_some(wait)
    }
}

/// What is said before waiting for `name`.
pub(crate) fn notice(name: &str, wait: Duration) -> String {
    format!("{name} is busy; asking again in {} s", wait.as_secs_f64().ceil())
}

/// A repository for publishing that is waited for when it asks for it, [`LONGEST`] at the most.
pub struct Patient {
    store: Box<dyn Swap>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Patient {
    /// `tell` hears of each wait.
    #[must_use]
    pub fn new(store: Box<dyn Swap>, tell: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { store, tell }
    }

    fn ask<T>(&self, ask: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut waits = Waits::new();
        loop {
            match ask() {
                Err(StoreError::Busy { what, why, after }) => match waits.next(after) {
                    Some(wait) => {
                        (self.tell)(&notice(&self.store.describe(), wait));
                        std::thread::sleep(wait);
                    }
                    // Nobody is to wait for it once more.
                    None => return Err(StoreError::Unreachable { what, why }),
                },
                answer => return answer,
            }
        }
    }
}

impl Read for Patient {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        self.ask(|| self.store.get(path, cap))
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        self.ask(|| self.store.stream(path, from, cap))
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}

impl Create for Patient {
    fn create(&self, path: &str, body: Body<'_>) -> Result<Created, StoreError> {
        self.ask(|| self.store.create(path, body))
    }

    fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        self.store.temp_file()
    }
}

impl Swap for Patient {
    fn swap(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<Swapped, StoreError> {
        self.ask(|| self.store.swap(path, expected, new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_and_no_longer() {
        let second = Duration::from_secs(1);
        let mut waits = Waits::new();
        assert_eq!(waits.next(20 * second), Some(20 * second));
        assert_eq!(waits.next(Duration::ZERO), Some(second));
        assert_eq!(waits.next(3600 * second), Some(39 * second));
        assert_eq!(waits.next(second), None);
    }
}
