//! A process by descriptor, which tells of its end without taking the process's number away.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

/// Sends `signal` to all that are left of the group that `leader` leads or led.
pub(super) fn signal_group(leader: Pid, signal: Signal) {
    match kill_process_group(leader, signal) {
        // Nobody is left.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::warn!(pid = ?leader, %error, "cannot signal a service"),
    }
}

/// A process, not to be confused with a later one of the same number.
#[derive(Debug)]
pub(super) struct PidFd(AsyncFd<OwnedFd>);

impl PidFd {
    /// The process that has the number `pid` now.
    #[expect(
        deprecated,
        reason = "sound for a descriptor that is owned; the way to say so instead is unsafe code"
    )]
    pub(super) fn open(pid: Pid) -> io::Result<Self> {
        Ok(Self(AsyncFd::new(pidfd_open(pid, PidfdFlags::empty())?)?))
    }

    /// Sends `signal` to it, and to no other.
    pub(super) fn signal(&self, signal: Signal) {
        match pidfd_send_signal(&self.0, signal) {
            // It has ended.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => tracing::warn!(%error, "cannot signal a process"),
        }
    }

    /// Waits until it has ended. Its parent has still to collect it.
    pub(super) async fn ended(&self) {
        // An error would mean that the runtime ends, and with it whoever waits.
        drop(self.0.readable().await);
    }
}
