//! Several places that hold the same repository.
//!
//! None of them is trusted, so that it does not matter which of them a file comes from: what is wrong,
//! missing or late is asked of the next one, by whoever verifies it.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::patience::{Waits, notice};
use crate::store::{Read, StoreError};

/// The places, in the order in which they are asked; the one that was good last comes first.
#[derive(Clone)]
pub struct Mirrors<'a> {
    stores: Vec<&'a dyn Read>,
    good: Arc<AtomicUsize>,
    tell: &'a (dyn Fn(&str) + Sync),
}

/// Whose fault a failure is.
pub trait Blame: Display {
    /// Whether another place could do better.
    fn is_theirs(&self) -> bool;

    /// When the place asks to come back, if it does.
    fn retry_after(&self) -> Option<Duration>;
}

impl Blame for StoreError {
    fn is_theirs(&self) -> bool {
        true
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { after, .. } => Some(*after),
            _ => None,
        }
    }
}

fn silent(_: &str) {}

impl<'a> Mirrors<'a> {
    /// These places, of which there must be one; `tell` hears of each that is passed over.
    #[must_use]
    pub fn new(stores: Vec<&'a dyn Read>, tell: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self { stores, good: Arc::default(), tell }
    }

    /// A single place.
    #[must_use]
    pub fn only(store: &'a dyn Read) -> Self {
        Self::new(vec![store], &silent)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.stores.len()
    }

    /// Says something to whoever watches.
    pub(crate) fn tell(&self, words: &str) {
        (self.tell)(words);
    }

    /// Lets the one after the one that was good last come first.
    pub(crate) fn advance(&self) {
        self.good.fetch_add(1, Ordering::Relaxed);
    }

    /// The name of the one that comes first.
    #[must_use]
    pub fn describe(&self) -> String {
        self.in_order().next().map(|(_, store)| store.describe()).unwrap_or_default()
    }

    fn in_order(&self) -> impl Iterator<Item = (usize, &'a dyn Read)> {
        let (count, good) = (self.stores.len(), self.good.load(Ordering::Relaxed));
        (0..count).map(move |at| (good + at) % count).map(|at| (at, self.stores[at]))
    }

    /// Asks one after the other for something, and for its verification, until one gives what is
    /// wanted. If none does, one that asks to come back later is waited for, for a minute at the most
    /// ([`crate::patience`]), and all are asked again. In the end the first failure counts.
    pub fn ask<T, E: Blame + From<StoreError>>(
        &self,
        mut ask: impl FnMut(&'a dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut waits = Waits::new();
        loop {
            let mut busy: Option<(Duration, String)> = None;
            let answer = self.ask_each(&mut ask, &mut |store, after| {
                if busy.as_ref().is_none_or(|(soonest, _)| after < *soonest) {
                    busy = Some((after, store.describe()));
                }
            });
            let waited = match (&answer, busy) {
                (Err(error), Some((after, name))) if error.is_theirs() => {
                    waits.next(after).map(|wait| (wait, name))
                }
                _ => None,
            };
            let Some((wait, name)) = waited else { return answer };
            (self.tell)(&notice(&name, wait));
            std::thread::sleep(wait);
        }
    }

    fn ask_each<T, E: Blame + From<StoreError>>(
        &self,
        ask: &mut impl FnMut(&'a dyn Read) -> Result<T, E>,
        busy: &mut impl FnMut(&dyn Read, Duration),
    ) -> Result<T, E> {
        let mut first = None;
        for (at, store) in self.in_order() {
            match ask(store) {
                Ok(found) => {
                    self.good.store(at, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(error) if !error.is_theirs() => return Err(error),
                Err(error) => {
                    if self.count() > 1 {
                        (self.tell)(&format!("passing over {}: {error}", store.describe()));
                    }
                    if let Some(after) = error.retry_after() {
                        busy(store, after);
                    }
                    first.get_or_insert(error);
                }
            }
        }
        let what = "the repository".to_owned();
        Err(first.unwrap_or_else(|| {
            StoreError::Unreachable { what, why: "no place of it is known".to_owned() }.into()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Named(&'static str);

    impl Read for Named {
        fn get(&self, path: &str, _cap: u64) -> Result<Vec<u8>, StoreError> {
            Err(StoreError::NotFound { what: path.to_owned() })
        }

        fn stream(
            &self,
            path: &str,
            _from: u64,
            _cap: u64,
        ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
            Err(StoreError::NotFound { what: path.to_owned() })
        }

        fn describe(&self) -> String {
            self.0.to_owned()
        }
    }

    #[test]
    fn a_busy_one_is_waited_for_when_no_other_helps() {
        let (one, two) = (Named("one"), Named("two"));
        let told = Mutex::new(Vec::new());
        let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
        let mirrors = Mirrors::new(vec![&one, &two], &tell);
        let mut asked = Vec::new();
        let answer: Result<usize, StoreError> = mirrors.ask(|store| {
            asked.push(store.describe());
            match (asked.len(), store.describe()) {
                (1, what) => {
                    let (why, after) = ("it is busy".to_owned(), Duration::from_millis(1));
                    Err(StoreError::Busy { what, why, after })
                }
                (2, what) => Err(StoreError::NotFound { what }),
                (count, _) => Ok(count),
            }
        });
        assert_eq!((answer.unwrap(), asked), (3, vec!["one".into(), "two".into(), "one".into()]));
        let said = told.lock().unwrap().pop().unwrap();
        assert_eq!(said, "one is busy; asking again in 1 s");
    }

    #[test]
    fn the_good_one_is_asked_first_next_time() {
        let (one, two, three) = (Named("one"), Named("two"), Named("three"));
        let told = Mutex::new(Vec::new());
        let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
        let mirrors = Mirrors::new(vec![&one, &two, &three], &tell);
        let only_two = |store: &dyn Read| match store.describe().as_str() {
            "two" => Ok(2),
            _ => store.get("x", 1).map(|_| 0),
        };
        assert_eq!(mirrors.ask(only_two).unwrap(), 2);
        assert_eq!(mirrors.ask(only_two).unwrap(), 2);
        assert_eq!(*told.lock().unwrap(), ["passing over one: x does not exist"]);
        let mut asked = Vec::new();
        let none: Result<(), StoreError> = mirrors.ask(|store| {
            asked.push(store.describe());
            Err(StoreError::NotFound { what: store.describe() })
        });
        assert_eq!(asked, ["two", "three", "one"]);
        assert_eq!(none.unwrap_err().to_string(), "two does not exist");
    }
}
