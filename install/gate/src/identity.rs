//! Which process is meant: a number is not enough, since numbers are given out again. And what a
//! minder writes down of itself for a gate that comes later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_formats::digest::Digest;
use cutover_node::disk::{self, record};
use cutover_node::root::Root;
use jiff::Timestamp;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::pidfd::{PidFd, signal_group};
use super::upstream::Address;

/// How long a leftover that got SIGKILL may take to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// A process, not to be confused with another one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: i32,
    /// When it started, in clock ticks since the machine did.
    started: u64,
    /// Which run of the machine.
    boot: String,
}

impl Identity {
    /// The process `pid` of this moment.
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        let pid = pid.as_raw_nonzero().get();
        Ok(Self { pid, started: stat(pid)?.started, boot: boot()? })
    }

    /// Its number.
    pub(super) fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }

    /// Opens that very process; `None` where it has ended.
    ///
    /// The descriptor is opened before the identity is looked at: from then on the number cannot
    /// come to mean another process without the descriptor telling of the first one's end.
    pub(super) fn open(&self) -> Option<PidFd> {
        let process = PidFd::open(self.pid()?).ok()?;
        self.is_alive().then_some(process)
    }

    /// Whether that very process goes on.
    pub(super) fn is_alive(&self) -> bool {
        let same = |stat: Stat| stat.started == self.started && !stat.zombie;
        boot().is_ok_and(|boot| boot == self.boot) && stat(self.pid).is_ok_and(same)
    }
}

/// A minder and its service, as remembered for a gate that comes after this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The minder.
    pub(super) minder: Identity,
    /// The service's first process, which leads a group of the same number, once it runs.
    pub(super) service: Option<Identity>,
    /// The release.
    pub(super) version: String,
    /// Where it is reached.
    pub(super) address: Address,
    /// Since when.
    pub(super) since: Timestamp,
    /// How long it may take to end.
    drain: Duration,
    /// How it ended, if it has.
    pub(super) ended: Option<RecordedEnd>,
    /// The rendering of its configuration that held before it was started.
    #[serde(default)]
    pub(super) config: Option<u64>,
    /// The number of the user that runs it.
    #[serde(default)]
    pub(super) user: Option<u32>,
    /// What of `node.toml` it was started with.
    #[serde(default)]
    pub(super) settings: Option<Digest>,
}

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedEnd {
    /// The status of its first process, in words.
    pub(super) how: String,
    /// Whether it had to be killed.
    pub(super) killed: bool,
}

impl Record {
    /// Of a minder whose service does not run yet.
    pub(super) fn new(
        minder: Identity,
        version: String,
        address: Address,
        drain: Duration,
    ) -> Self {
        let since = Timestamp::now();
        Self {
            minder,
            service: None,
            version,
            address,
            since,
            drain,
            ended: None,
            config: None,
            user: None,
            settings: None,
        }
    }

    fn path(&self, run: &Path) -> PathBuf {
        run.join(format!("service-{}.json", self.minder.pid))
    }

    /// Remembers it, for as long as the machine runs.
    pub(super) fn save(&self, run: &Path) -> io::Result<()> {
        Ok(record::note(&self.path(run), self)?)
    }

    /// Forgets it, and the socket that nobody listens on any more.
    pub(super) fn clear(&self, run: &Path) {
        remove(&self.path(run));
        if let Address::Unix(socket) = &self.address {
            remove(socket);
        }
    }

    /// What the minder wrote last.
    pub(super) fn reload(&self, run: &Path) -> io::Result<Self> {
        Ok(record::load(&self.path(run))?.unwrap_or_else(|| self.clone()))
    }

    /// All that minders wrote down and no gate has cleared away.
    pub(super) fn all(root: &Root) -> io::Result<Vec<Self>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(root.run())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !(name.starts_with("service-") && name.ends_with(".json")) {
                continue;
            }
            match record::load(&path) {
                Ok(found) => records.extend(found),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "passed over a record");
                    remove(&path);
                }
            }
        }
        Ok(records)
    }

    /// Whether the service is to be found.
    pub(super) fn lives(&self) -> bool {
        let lives = |identity: &Identity| identity.is_alive();
        self.ended.is_none() && lives(&self.minder) && self.service.as_ref().is_some_and(lives)
    }

    /// Ends the service, where it still runs, and no other process; then forgets it.
    pub(super) async fn end(&self, root: &Root) {
        if let Some(minder) = self.minder.open() {
            let version = &self.version;
            tracing::warn!(version, "ending a service that an earlier gate left behind");
            minder.signal(Signal::TERM);
            if tokio::time::timeout(self.drain + KILLED, minder.ended()).await.is_err() {
                minder.signal(Signal::KILL);
            }
        }
        self.kill_rest();
        self.clear(&root.run());
    }

    /// What a minder that was killed left: the kernel has ended the leader by then, or is about to.
    pub(super) fn kill_rest(&self) {
        if let Some(service) = self.service.as_ref().filter(|service| service.open().is_some())
            && let Some(pid) = service.pid()
        {
            signal_group(pid, Signal::KILL);
        }
    }
}

/// Removes from a node's `run/` the records that minders had begun to write when they were killed.
/// One that lives may be about to give its record the name.
pub fn sweep(root: &Root) -> io::Result<()> {
    let entries = match fs::read_dir(root.run()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let pid = name.strip_prefix("service-").and_then(|rest| rest.strip_suffix(".json.new"));
        let Some(pid) = pid.and_then(|pid| pid.parse().ok()) else { continue };
        if !stat(pid).is_ok_and(|stat| !stat.zombie) {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes a file that need not be there.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a file");
    }
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// It has ended, and nobody has collected it.
    zombie: bool,
    /// When it started, in clock ticks since the machine did.
    started: u64,
}

fn stat(pid: i32) -> io::Result<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Fields 3 and 22; the program's name before them may hold anything.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let zombie = fields.next()? == "Z";
    Some(Stat { zombie, started: fields.nth(18)?.parse().ok()? })
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
        let stat = |zombie| Some(Stat { zombie, started: 4711 });
        assert_eq!(parse_stat(&format!("7 (a) b) S {fields}")), stat(false));
        assert_eq!(parse_stat(&format!("7 (a) Z {fields}")), stat(true));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn records_in_the_making_go_with_their_minder() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_path_buf());
        sweep(&root).unwrap();
        fs::create_dir(root.run()).unwrap();
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        let pid = ended.id();
        let mine = format!("service-{}.json.new", std::process::id());
        let kept = [mine.as_str(), "service-1.0.0.log.new", "gate.sock"];
        let ended_name = format!("service-{pid}.json.new");
        for name in kept.into_iter().chain([ended_name.as_str()]) {
            fs::write(root.run().join(name), "{").unwrap();
        }
        ended.wait().unwrap();
        sweep(&root).unwrap();
        assert!(!root.run().join(ended_name).exists());
        assert!(kept.iter().all(|name| root.run().join(name).exists()));
    }

    #[test]
    fn another_start_is_another_process() {
        let me = Identity::of(rustix::process::getpid()).unwrap();
        assert!(me.is_alive());
        assert!(!Identity { started: me.started + 1, ..me.clone() }.is_alive());
        assert!(!Identity { boot: "another".to_owned(), ..me }.is_alive());
    }
}
