//! What a gate tells the service manager that started it: `sd_notify(3)`, as one datagram.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Whether a variable is the manager's word to the gate alone, which no service should get.
pub(super) fn is_ours(name: &OsStr) -> bool {
    const OURS: [&str; 6] = [
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
    ];
    OURS.iter().any(|ours| name == *ours)
}

/// Whether a variable is about one process by its number. It means nothing to another one that is started
/// with the same variables.
#[must_use]
pub fn names_a_process(name: &OsStr) -> bool {
    const NUMBERED: [&str; 5] =
        ["WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "SYSTEMD_EXEC_PID"];
    NUMBERED.iter().any(|numbered| name == *numbered)
}

/// The way to the manager; one that was not started by a manager tells nobody.
#[derive(Debug)]
pub(super) struct Manager(Option<(UnixDatagram, SocketAddr)>);

impl Manager {
    /// As the environment has it.
    pub(super) fn of_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self(None) };
        match open(&name) {
            Ok(manager) => Self(Some(manager)),
            Err(error) => {
                tracing::warn!(?name, %error, "cannot reach the service manager");
                Self(None)
            }
        }
    }

    /// Tells it `lines`, e.g. `READY=1`.
    pub(super) fn tell(&self, lines: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(lines.as_bytes(), address) {
            tracing::warn!(%error, "cannot tell the service manager: {lines}");
        }
    }

    /// Tells it that settings are read anew; `READY=1` ends that.
    pub(super) fn tell_reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }
}

fn open(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// How often the manager wants a sign of life, if it wants any.
pub(super) fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|usec| meant && *usec > 0).map(Duration::from_micros)
}
