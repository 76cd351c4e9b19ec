//! Which process is meant: a number is not enough, since numbers are given out again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::pidfd::{PidFd, signal_group};
use super::record;
use crate::root::Root;

/// How long a leftover that got SIGKILL may take to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// A service's process, as remembered for a gate that comes after this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The process, which leads a group of the same number.
    pub(super) pid: i32,
    /// When it started, in clock ticks since the machine did.
    started: u64,
    /// Which run of the machine.
    boot: String,
    /// What it runs, for people.
    pub(super) version: String,
    /// Its unix socket, to be removed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    /// How long it may take to end.
    drain_seconds: u64,
}

impl Identity {
    /// The process `pid` of this moment.
    pub(super) fn of(
        pid: Pid,
        version: String,
        socket: Option<PathBuf>,
        drain: Duration,
    ) -> io::Result<Self> {
        let pid = pid.as_raw_nonzero().get();
        let (started, boot) = (started(pid)?, boot()?);
        Ok(Self { pid, started, boot, version, socket, drain_seconds: drain.as_secs() })
    }

    /// Where it is remembered.
    pub(super) fn path(&self, root: &Root) -> PathBuf {
        root.run().join(format!("service-{}.json", self.pid))
    }

    /// Remembers it.
    pub(super) fn save(&self, root: &Root) -> io::Result<()> {
        record::save(&self.path(root), self)
    }

    /// Whether that very process is alive.
    fn is_alive(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
            && started(self.pid).is_ok_and(|started| started == self.started)
    }
}

/// Ends what a gate that was killed left running, and no other process.
pub(super) async fn end_leftovers(root: &Root) -> io::Result<()> {
    for entry in fs::read_dir(root.run())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !(name.starts_with("service-") && name.ends_with(".json")) {
            continue;
        }
        match record::load::<Identity>(&path) {
            Ok(Some(identity)) => end(&identity).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "passed over a record"),
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}

async fn end(identity: &Identity) {
    // The descriptor is opened before the identity is looked at: from then on the number cannot
    // come to mean another process without the descriptor telling of the first one's end.
    let Some(pid) = Pid::from_raw(identity.pid) else { return };
    let Ok(process) = PidFd::open(pid) else { return };
    if !identity.is_alive() {
        return;
    }
    let version = &identity.version;
    tracing::warn!(
        version,
        pid = identity.pid,
        "ending a service that an earlier gate left behind"
    );
    let drain = Duration::from_secs(identity.drain_seconds);
    for (signal, limit) in [(Signal::TERM, drain), (Signal::KILL, KILLED)] {
        signal_group(pid, signal);
        if tokio::time::timeout(limit, process.ended()).await.is_ok() {
            // Workers that outlived their leader.
            signal_group(pid, Signal::KILL);
            break;
        }
    }
    if let Some(socket) = &identity.socket {
        remove(socket);
    }
}

/// Removes a file that need not be there.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a file");
    }
}

/// Field 22 of `/proc/<pid>/stat`; the program's name before it may hold anything.
fn started(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_started(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_started(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    // A zombie is no process to speak of.
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    fields.nth(18)?.parse().ok().filter(|_| state != "Z")
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_do_not_mislead() {
        let fields = "1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse_started(&format!("7 (a) b) S {fields}")), Some(4711));
        assert_eq!(parse_started(&format!("7 (a) Z {fields}")), None);
        assert_eq!(parse_started("nonsense"), None);
    }

    #[test]
    fn another_start_is_another_process() {
        let pid = rustix::process::getpid();
        let me = Identity::of(pid, "1.0.0".to_owned(), None, Duration::ZERO).unwrap();
        assert!(me.is_alive());
        assert!(!Identity { started: me.started + 1, ..me.clone() }.is_alive());
        assert!(!Identity { boot: "another".to_owned(), ..me }.is_alive());
    }
}
