//! One process of a service, behind its [minder](super::minder): started or found, watched, ended.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cutover_formats::digest::Digest;
use cutover_node::root::Root;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, geteuid};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::guard::Guard;
use super::identity::{Record, remove};
use super::launch::Launch;
use super::minder::Told;
use super::not_started::NotStarted;
use super::own_program::sent_to;
use super::pidfd::PidFd;
use super::tasks;
use super::upstream::Address;

/// How much of the output is looked at for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// How many lines of it are told.
const TAIL_LINES: usize = 20;

/// How long a program may take to be loaded.
const LOADED: Duration = Duration::from_secs(30);

/// How long the system may take to end processes that got SIGKILL.
const KILLED: Duration = Duration::from_secs(10);

/// A service's process, and all that it starts.
#[derive(Debug)]
pub(super) struct Process {
    /// What was started.
    pub(super) launch: Launch,
    /// Its number.
    pub(super) pid: Pid,
    /// When it was started.
    pub(super) since: Timestamp,
    /// The rendering of its configuration that held when it was started.
    pub(super) config: Option<u64>,
    /// Connects to it, and to nobody else.
    pub(super) guard: Arc<Guard>,
    /// What of `node.toml` it was started with, as [`settings`](super::launch::settings) has it.
    pub(super) settings: Option<Digest>,
    minder: Rc<PidFd>,
    exited: watch::Receiver<Option<Exited>>,
    watching: AbortHandle,
    log_start: LogStart,
}

/// Where in the output this process begins.
#[derive(Debug, Default)]
struct LogStart {
    inode: u64,
    length: u64,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(super) struct Exited {
    how: String,
    killed: bool,
}

impl std::fmt::Display for Exited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the process ended ({})", self.how)
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
    pub(super) async fn start(launch: Launch, root: &Root) -> Result<Self, NotStarted> {
        if let Address::Unix(socket) = &launch.address {
            remove(socket);
        }
        let log_start = LogStart::of(launch.log_path());
        let mut child = spawn(&launch, root)?;
        let (minder, record) = match begin(&mut child).await {
            Ok(begun) => begun,
            Err(error) => {
                drop(child.kill());
                drop(child.wait());
                return Err(error);
            }
        };
        let process = Self::watched(launch, record, minder, Some(child), root)?;
        Ok(Self { log_start, ..process })
    }

    /// Takes on a process that an earlier gate started; `None` where it has ended.
    pub(super) fn adopt(launch: Launch, record: &Record, root: &Root) -> Option<Self> {
        if !record.lives() {
            return None;
        }
        let minder = record.minder.open()?;
        Self::watched(launch, record.clone(), minder, None, root).ok()
    }

    fn watched(
        launch: Launch,
        record: Record,
        minder: PidFd,
        child: Option<Child>,
        root: &Root,
    ) -> io::Result<Self> {
        let pid = record.service.as_ref().and_then(super::identity::Identity::pid);
        let pid = pid.ok_or_else(|| io::Error::other("it has no process"))?;
        let minder = Rc::new(minder);
        let (tell, exited) = watch::channel(None);
        let (since, config, settings) = (record.since, record.config, record.settings);
        let guard = guard(&launch, record.user);
        let (run, leader) = (root.run(), minder.clone());
        let watching = tasks::spawn("what watches the service", async move {
            leader.ended().await;
            if let Some(mut child) = child {
                drop(child.wait());
            }
            tell.send_replace(Some(epitaph(&record, &run)));
        });
        let (watching, log_start) = (watching.abort_handle(), LogStart::default());
        Ok(Self {
            launch,
            pid,
            since,
            config,
            guard,
            settings,
            minder,
            exited,
            watching,
            log_start,
        })
    }

    /// How it ended, if it has.
    pub(super) fn exited(&self) -> Option<Exited> {
        self.exited.borrow().clone()
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> Exited {
        let mut exited = self.exited.clone();
        let ended = exited.wait_for(Option::is_some).await.ok().and_then(|exited| exited.clone());
        // The sender is dropped without a word only where the runtime ends.
        ended.unwrap_or(Exited { how: "the gate ends".to_owned(), killed: false })
    }

    /// Takes no more notice of it, and leaves its record alone.
    pub(super) fn let_go(&self) {
        self.watching.abort();
    }

    /// Asks it to end; its minder kills it, and all that it started, where it does not in time.
    pub(super) async fn stop(&self) -> Ended {
        if self.exited().is_some() {
            return Ended::Before;
        }
        self.minder.signal(Signal::TERM);
        if timeout(self.launch.drain + KILLED, self.ended()).await.is_err() {
            tracing::error!(pid = ?self.pid, "a process does not end even by SIGKILL");
            self.minder.signal(Signal::KILL);
        }
        match self.exited() {
            Some(Exited { killed: false, .. }) => Ended::Asked,
            _ => Ended::Killed,
        }
    }

    /// The last lines that it wrote, where they are in a file.
    pub(super) fn log_tail(&self) -> Vec<String> {
        let Some(path) = self.launch.log_path() else { return Vec::new() };
        match self.log_start.tail(path) {
            Ok(lines) => lines,
            Err(error) => vec![format!("({}: {error})", path.display())],
        }
    }
}

/// Who may be behind the address of a process that `user` runs, as far as that was written down.
fn guard(launch: &Launch, user: Option<u32>) -> Arc<Guard> {
    let guard = match &launch.node.manager {
        Some(_) => Guard::of_manager(),
        None => {
            let user = user.or_else(|| launch.who.as_ref().map(|who| who.uid));
            Guard::of_user(user.unwrap_or_else(|| geteuid().as_raw()))
        }
    };
    Arc::new(guard)
}

impl LogStart {
    fn of(path: Option<&PathBuf>) -> Self {
        let there = path.and_then(|path| std::fs::metadata(path).ok());
        there.map_or_else(Self::default, |there| Self { inode: there.ino(), length: there.len() })
    }

    fn tail(&self, path: &PathBuf) -> io::Result<Vec<String>> {
        let mut log = File::open(path)?;
        let metadata = log.metadata()?;
        let begins = if metadata.ino() == self.inode { self.length } else { 0 };
        let mut text = Vec::new();
        log.seek(SeekFrom::Start(begins.max(metadata.len().saturating_sub(TAIL_BYTES))))?;
        log.take(TAIL_BYTES).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        Ok(last.iter().map(|line| (*line).to_owned()).collect())
    }
}

/// A minder of its own group, so that a terminal's signals do not reach it.
fn spawn(launch: &Launch, root: &Root) -> io::Result<Child> {
    let mut child =
        sent_to("mind")?.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(&launch.task(root))?)?;
    }
    Ok(child)
}

/// Waits for the minder's word.
async fn begin(child: &mut Child) -> Result<(PidFd, Record), NotStarted> {
    let minder = PidFd::open(Pid::from_child(child))?;
    let stdout = child.stdout.take().ok_or(io::Error::from(io::ErrorKind::BrokenPipe))?;
    let stdout = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout))?;
    let mut line = String::new();
    let read = timeout(LOADED, BufReader::new(stdout).read_line(&mut line)).await;
    read.map_err(io::Error::from)??;
    match serde_json::from_str(&line) {
        Ok(Told::Started(record)) => Ok((minder, *record)),
        Ok(Told::Failed(failed)) => Err(failed),
        Err(_) => Err(io::Error::other("its minder ended without a word").into()),
    }
}

/// How a service ended whose minder has ended; what is left of both goes away.
fn epitaph(record: &Record, run: &std::path::Path) -> Exited {
    let ended = record.reload(run).ok().and_then(|record| record.ended);
    if ended.is_none() {
        record.kill_rest();
    }
    record.clear(run);
    match ended {
        Some(ended) => Exited { how: ended.how, killed: ended.killed },
        None => Exited { how: "its minder was killed".to_owned(), killed: true },
    }
}
