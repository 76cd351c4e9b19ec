//! Writing back early: the disk works while the rest still comes, so that little is left for the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::disk::{DiskError, Folder};

/// What is written back at once: a quarter of all, within these bounds. More often costs more than it
/// brings.
const LEAST: u64 = 16 << 20;
const MOST: u64 = 256 << 20;

/// How much there is to write back.
pub(super) struct WriteBack {
    portion: u64,
    written: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Due,
    Ended,
}

impl WriteBack {
    /// For files of so many bytes.
    pub(super) fn of(bytes: u64) -> Self {
        let portion = (bytes / 4).clamp(LEAST, MOST);
        let (written, changed) = (AtomicU64::new(0), Condvar::new());
        Self { portion, written, state: Mutex::new(State::Waiting), changed }
    }

    /// So many bytes more were written.
    pub(super) fn add(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / self.portion < (before + bytes) / self.portion {
            self.change(State::Due);
        }
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        self.change(State::Ended);
    }

    fn change(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    /// Writes back what is due, until the end. The system reports an error of that once for each time
    /// that the folder was opened, so that it must not be passed over here.
    pub(super) fn run(&self, prefix: &Folder) -> Result<(), DiskError> {
        loop {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = |state: &mut State| *state == State::Waiting;
            let state = self.changed.wait_while(state, waiting);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            match *state {
                State::Ended => return Ok(()),
                State::Waiting | State::Due => *state = State::Waiting,
            }
            drop(state);
            prefix.sync_file_system()?;
        }
    }
}
