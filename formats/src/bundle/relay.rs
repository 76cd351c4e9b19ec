//! Handing on what spans two frames.
//!
//! Frames are packed and unpacked in parallel, each by one thread. A file that goes on in the next
//! frame can only be hashed in order, so its hash so far is handed from frame to frame, like a
//! baton. Frames are begun in order, so whoever waits for a baton waits for a frame that somebody
//! is working on.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};

/// Batons on their way to the frames that they are for.
#[derive(Debug)]
pub struct Relay<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    batons: BTreeMap<u64, T>,
    stopped: bool,
}

impl<T> Default for Relay<T> {
    fn default() -> Self {
        let state = State { batons: BTreeMap::new(), stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Relay<T> {
    /// Leaves a baton for whoever works on `frame`.
    pub fn hand_on(&self, frame: u64, baton: T) {
        self.change(|state| {
            state.batons.insert(frame, baton);
        });
    }

    /// Waits for the baton of `frame`; `None` once somebody has stopped the relay.
    pub fn take(&self, frame: u64) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.stopped {
                return None;
            }
            if let Some(baton) = state.batons.remove(&frame) {
                return Some(baton);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends all waiting: something failed, and some batons will never come.
    pub fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}
