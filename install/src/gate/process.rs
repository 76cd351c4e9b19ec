//! One process of a service: started in a group of its own, watched, ended with all its children.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal};
use tokio::sync::watch;

use super::identity::{Identity, remove};
use super::launch::Launch;
use super::pidfd::{PidFd, signal_group};
use super::upstream::Address;
use crate::root::Root;

/// How much of the output is looked at for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// How many lines of it are told.
const TAIL_LINES: usize = 20;

/// How long the system may take to end a process that got SIGKILL.
const KILLED: Duration = Duration::from_secs(10);

/// A process and the group that it leads.
#[derive(Debug)]
pub(super) struct Process {
    /// What was started.
    pub(super) launch: Launch,
    /// Its number.
    pub(super) pid: Pid,
    /// When it was started.
    pub(super) since: Timestamp,
    exited: watch::Receiver<Option<Exited>>,
    log: PathBuf,
    log_start: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exited(Option<ExitStatus>);

impl std::fmt::Display for Exited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(status) => write!(f, "the process ended ({status})"),
            None => f.write_str("the process ended"),
        }
    }
}

/// What it took to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was gone already.
    Before,
    /// It went when asked.
    Asked,
    /// It had to be killed.
    Killed,
}

impl Process {
    /// Starts a process. Must be called on the supervisor's runtime, which watches it.
    pub(super) fn start(launch: Launch, root: &Root) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).mode(0o640).open(&launch.log)?;
        let log_start = log.metadata()?.len();
        let socket = match &launch.address {
            Address::Unix(path) => Some(path.clone()),
            Address::Tcp(_) => None,
        };
        if let Some(socket) = &socket {
            remove(socket);
        }
        let mut child = spawn(&launch, log)?;
        let pid = Pid::from_child(&child);
        let leader = match PidFd::open(pid) {
            Ok(leader) => leader,
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                return Err(error);
            }
        };
        let mut remembered = None;
        // A process that ended at once has no identity left to remember.
        if let Ok(identity) =
            Identity::of(pid, launch.version.to_string(), socket.clone(), launch.drain)
        {
            match identity.save(root) {
                Ok(()) => remembered = Some(identity.path(root)),
                Err(error) => tracing::warn!(%error, "cannot remember a service's process"),
            }
        }
        let (tell, exited) = watch::channel(None);
        tokio::task::spawn_local(async move {
            let status = reap(child, pid, leader).await;
            remembered.iter().chain(&socket).for_each(|path| remove(path));
            tell.send_replace(Some(Exited(status)));
        });
        let (log, since) = (launch.log.clone(), Timestamp::now());
        Ok(Self { launch, pid, since, exited, log, log_start })
    }

    /// How it ended, if it has.
    pub(super) fn exited(&self) -> Option<Exited> {
        *self.exited.borrow()
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> Exited {
        let mut exited = self.exited.clone();
        // The sender is dropped without a word only where the runtime ends.
        exited
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|exited| *exited)
            .unwrap_or(Exited(None))
    }

    /// Asks the group to end, and kills it where it does not within `limit`.
    pub(super) async fn stop(&self, limit: Duration) -> Ended {
        if self.exited().is_some() {
            return Ended::Before;
        }
        signal_group(self.pid, Signal::TERM);
        if tokio::time::timeout(limit, self.ended()).await.is_ok() {
            return Ended::Asked;
        }
        if self.exited().is_none() {
            signal_group(self.pid, Signal::KILL);
        }
        if tokio::time::timeout(KILLED, self.ended()).await.is_err() {
            tracing::error!(pid = ?self.pid, "a process does not end even by SIGKILL");
        }
        Ended::Killed
    }

    /// The last lines that it wrote.
    pub(super) fn log_tail(&self) -> Vec<String> {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            let end = log.metadata()?.len();
            log.seek(SeekFrom::Start(self.log_start.max(end.saturating_sub(TAIL_BYTES))))?;
            log.take(TAIL_BYTES).read_to_end(&mut text)
        });
        if let Err(error) = read {
            return vec![format!("({}: {error})", self.log.display())];
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        last.iter().map(|line| (*line).to_owned()).collect()
    }
}

fn spawn(launch: &Launch, log: File) -> io::Result<Child> {
    let [program, arguments @ ..] = &launch.command[..] else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "its command is empty"));
    };
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"CUTOVER_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .envs(&launch.env)
        .current_dir(&launch.folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
}

/// Waits for the leader's end, ends what is left of its group, and only then lets go of its number.
async fn reap(mut child: Child, pid: Pid, leader: PidFd) -> Option<ExitStatus> {
    leader.ended().await;
    signal_group(pid, Signal::KILL);
    child.wait().ok()
}
