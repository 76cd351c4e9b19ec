//! What became of requests that were not simply served.

use std::sync::atomic::AtomicU64;

/// Counts of what is out of the ordinary, so that no request pays for them on its way.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Got the backoff answer.
    pub(super) refused: AtomicU64,
    /// Waited.
    pub(super) held: AtomicU64,
    /// Were sent once more, because the connection ended before the answer.
    pub(super) resent: AtomicU64,
    /// Were broken off by the service.
    pub(super) failed: AtomicU64,
    /// The longest wait, microseconds.
    pub(super) longest_wait: AtomicU64,
}
