//! The minder: a small process between the gate and one process of a service.
//!
//! What has to outlive a gate is in its hands. It starts the service as the user and with the
//! limits that `node.toml` names, keeps its output in files of bounded size, ends it with all its
//! descendants, also those that went into a session of their own, and writes down how it ended. So
//! a gate may be replaced, or killed, while the service goes on: the next gate finds the minder by
//! its [record](Record) and goes on from there.
//!
//! It is this same program, sent on an [errand](mod@super::errand) as `install mind` and told by one
//! JSON [`Task`] on its standard input, since arguments are seen by everybody. It answers with one
//! line, [`Told`], on its standard output. From then on it knows one word: SIGTERM, which has it end
//! the service.

mod enter;
mod output;
mod program;

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use cutover_formats::descriptor::StopSignal;
use cutover_formats::digest::Digest;
use cutover_terminal::{Verbosity, log_to_stderr};
use rustix::process::{
    Pid, Signal, WaitOptions, geteuid, getpid, kill_process, set_child_subreaper, wait,
};
use serde::{Deserialize, Serialize};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use self::output::{Output, Passed};
use super::identity::{Identity, Record, RecordedEnd};
use super::log_files::LogFiles;
use super::not_started::NotStarted;
use super::pidfd::signal_group;
use super::upstream::Address;

pub(super) use enter::enter;
pub(super) use program::{Program, Who};

/// How long descendants that got SIGKILL may take to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// How often what is left is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a minder is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// The folder of records.
    pub(super) run: PathBuf,
    /// The release, for people.
    pub(super) version: String,
    /// The rendering of its configuration that holds.
    #[serde(default)]
    pub(super) config: Option<u64>,
    /// What of `node.toml` it is started with.
    #[serde(default)]
    pub(super) settings: Option<Digest>,
    /// Where the service will be reached, for a later gate.
    pub(super) address: Address,
    /// What the service is sent when it is to end.
    pub(super) stop_signal: StopSignal,
    /// How long it may take to end then, before it is killed.
    pub(super) drain: Duration,
    /// Where its output goes; without files, where the gate's own goes.
    pub(super) log: Option<LogFiles>,
    /// What to start.
    pub(super) program: Program,
}

/// What a minder says when the service has been started, or has not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    /// It runs.
    Started(Box<Record>),
    /// It could not be started.
    Failed(NotStarted),
}

/// Minds the service that standard input tells of, until it has ended.
pub(super) fn mind() -> io::Result<()> {
    log_to_stderr(Verbosity::Normal);
    let mut task = Vec::new();
    io::stdin().read_to_end(&mut task)?;
    let task: Task = serde_json::from_slice(&task)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Minder::start(task) {
            Ok(minder) => {
                tell(&Told::Started(Box::new(minder.record.clone())))?;
                minder.go_on().await
            }
            Err(failed) => tell(&Told::Failed(failed)),
        }
    })
}

fn tell(told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    // A gate that is gone meanwhile is no reason to leave the service alone.
    drop(io::stdout().write_all(&line));
    Ok(())
}

struct Minder {
    record: Record,
    run: PathBuf,
    stop_signal: StopSignal,
    drain: Duration,
    leader: Pid,
    output: Option<Output>,
    term: tokio::signal::unix::Signal,
    child: tokio::signal::unix::Signal,
}

impl Minder {
    /// Remembers itself first, so that there is no moment at which a service runs unknown.
    fn start(task: Task) -> Result<Self, NotStarted> {
        set_child_subreaper(Some(getpid())).map_err(io::Error::from)?;
        let (term, child) = (signal(SignalKind::terminate())?, signal(SignalKind::child())?);
        let (log, output) = match task.log {
            Some(files) => {
                let (reader, writer) = io::pipe()?;
                let reader = pipe::Receiver::from_owned_fd(reader.into())?;
                (Some(Output::new(reader, files.open()?)), Some(writer))
            }
            None => (None, None),
        };
        let me = Identity::of(getpid())?;
        let mut record = Record::new(me, task.version, task.address, task.drain);
        record.config = task.config;
        let who = task.program.who.as_ref();
        record.user = Some(who.map_or_else(|| geteuid().as_raw(), |who| who.uid));
        record.settings = task.settings;
        record.save(&task.run)?;
        let started = task.program.start(output).and_then(|leader| {
            record.service = Identity::of(leader).ok();
            record.save(&task.run)?;
            Ok::<_, NotStarted>(leader)
        });
        let leader = started.inspect_err(|_| record.clear(&task.run))?;
        let Task { run, stop_signal, drain, .. } = task;
        Ok(Self { record, run, stop_signal, drain, leader, output: log, term, child })
    }

    /// Until the service has ended, with all that it started.
    async fn go_on(mut self) -> io::Result<()> {
        let mut deadline = None;
        let mut killed = false;
        let status = loop {
            if let Some(status) = self.reap() {
                break status;
            }
            tokio::select! {
                Some(()) = self.child.recv() => {}
                Some(()) = self.term.recv(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + self.drain);
                    signal_group(self.leader, signal_of(self.stop_signal));
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && !killed => {
                    killed = true;
                    signal_group(self.leader, Signal::KILL);
                }
                () = pass_on(&mut self.output) => {}
            }
        };
        signal_group(self.leader, Signal::KILL);
        self.end_descendants().await;
        self.pass_on_rest().await;
        self.record.ended = Some(RecordedEnd { how: status.to_string(), killed });
        self.record.save(&self.run)
    }

    /// Collects what has ended; the leader's status, if it is among that.
    fn reap(&self) -> Option<ExitStatus> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.leader {
                ended = Some(ExitStatus::from_raw(status.as_raw()));
            }
        }
        ended
    }

    /// Descendants whose parents end become this process's children, one generation after another.
    async fn end_descendants(&mut self) {
        let deadline = Instant::now() + KILLED;
        while let Ok(collected) = wait(WaitOptions::NOHANG) {
            if collected.is_some() {
                continue;
            }
            for child in children("self") {
                // It may have ended by itself.
                let _ = kill_process(child, Signal::KILL);
            }
            if Instant::now() >= deadline {
                tracing::error!("what the service started does not end even by SIGKILL");
                return;
            }
            // Told of each end; looks again by itself where it is told of none.
            drop(timeout(LOOK_AGAIN, self.child.recv()).await);
        }
    }

    /// What lies in the pipe when nobody is left to write to it.
    async fn pass_on_rest(&mut self) {
        while self.output.is_some() {
            let passed = timeout(KILLED, pass_on(&mut self.output));
            if passed.await.is_err() {
                return;
            }
        }
    }
}

/// One piece of output into its file; for ever where there is none to come.
async fn pass_on(output: &mut Option<Output>) {
    let Some(some) = output else { return std::future::pending().await };
    if some.pass_on().await == Passed::Last {
        *output = None;
    }
}

fn signal_of(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Winch => Signal::WINCH,
        StopSignal::Kill => Signal::KILL,
    }
}

/// The children of a process, as `/proc` calls that; zombies among them.
pub(super) fn children(of: &str) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let text: String = lists.collect();
    text.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
