//! What the process' umask takes from the modes of new files.
//!
//! What a node is made of is as open as its documents say, whoever made it: an operator whose umask is
//! 077 would shut the service out of its release, one with 000 would let everybody write to it. So the
//! programs set a umask of their own at their start. Only a service that the gate starts gets the one
//! that the gate was started with, or that of the gate before it where it goes on in its background.

use std::sync::{Mutex, PoisonError};

use rustix::fs::Mode;
use rustix::process::umask;

/// Nobody but the owner writes.
const OURS: u32 = 0o022;

static INHERITED: Mutex<Option<u32>> = Mutex::new(None);

/// Sets the umask of this process, and of whatever it starts, to 022. Called once, at the start of a
/// program, before it has threads.
pub fn settle() {
    let inherited = umask(Mode::from_raw_mode(OURS)).as_raw_mode();
    // A second call would only find what the first has set.
    INHERITED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(inherited);
}

/// Puts another program's umask in the place of the one that this process was started with, where that
/// is known: this one goes on in its place.
pub fn inherit(mask: Option<u32>) {
    if let Some(mask) = mask {
        *INHERITED.lock().unwrap_or_else(PoisonError::into_inner) = Some(mask);
    }
}

/// Takes up the umask again that this process was started with: for one that makes nothing itself, and
/// starts another of Cutover's programs in its place.
pub fn give_back() {
    if let Some(mask) = inherited() {
        umask(Mode::from_raw_mode(mask));
    }
}

/// The umask that this process was started with, where [`settle`] was called, or the one that it
/// [took over](inherit).
#[must_use]
pub fn inherited() -> Option<u32> {
    *INHERITED.lock().unwrap_or_else(PoisonError::into_inner)
}
