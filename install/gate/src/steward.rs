//! The steward: stands in for a service that another manager starts and stops.
//!
//! To its [minder](super::minder), and so to the gate, it is the service's process: it runs as long as
//! the service does, and SIGTERM ends both. So everything that holds for a service of the gate's own
//! holds for one of systemd's: health, two at once, starting again, going on after a gate that died.
//! It is this same program, sent on an [errand](mod@super::errand) as `install steward ORDERS`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cutover_formats::node_toml::{Manager, Orders};
use cutover_repository::child;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How often it is asked whether the service runs.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long `kill` may take, and whatever else should not take long.
pub(super) const SHORTLY: Duration = Duration::from_secs(10);

/// What a steward does, with this node's values in all texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stewardship {
    /// What the manager is told.
    orders: Orders,
    /// How long `stop` may take before `kill`.
    drain: Duration,
    /// The service's variables in a file, for a manager that does not inherit them, and their names.
    env_file: Option<(PathBuf, Vec<String>)>,
}

impl Stewardship {
    /// For `manager`, with `fill` for the values; a file of variables goes into `run`.
    pub(super) fn new(
        manager: &Manager,
        fill: impl Fn(&str) -> String,
        env: &BTreeMap<String, String>,
        drain: Duration,
        run: PathBuf,
    ) -> Self {
        let all = |texts: &Vec<String>| texts.iter().map(|text| fill(text)).collect();
        let Orders { start, stop, status, kill } = manager.orders();
        let env_file = match manager {
            Manager::Systemd { unit } => {
                Some((run.join(format!("{}.env", fill(unit))), env.keys().cloned().collect()))
            }
            Manager::Command { .. } => None,
        };
        let orders = Orders {
            start: all(&start),
            stop: all(&stop),
            status: all(&status),
            kill: kill.as_ref().map(all),
        };
        Self { orders, drain, env_file }
    }

    /// The command that is one.
    pub(super) fn command(&self) -> Vec<String> {
        // Strings in a list are always JSON.
        let orders = serde_json::to_string(self).unwrap_or_default();
        vec!["/proc/self/exe".to_owned(), "steward".to_owned(), orders]
    }

    async fn fulfil(&self) -> io::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        self.write_env()?;
        tokio::select! {
            started = run(&self.orders.start) => good(&self.orders.start, started?)?,
            _ = term.recv() => return self.end().await,
        }
        loop {
            tokio::select! {
                () = sleep(ASK_EVERY) => {}
                _ = term.recv() => return self.end().await,
            }
            match timeout(SHORTLY, run(&self.orders.status)).await {
                Ok(status) => good(&self.orders.status, status?)?,
                // Whoever does not answer has not said that it ended.
                Err(_) => eprintln(&format!("no answer from {}", self.orders.status.join(" "))),
            }
        }
    }

    async fn end(&self) -> io::Result<()> {
        let stopped = timeout(self.drain, run(&self.orders.stop)).await;
        if let Ok(Ok(status)) = &stopped
            && status.success()
        {
            return Ok(());
        }
        eprintln(&format!("{} did not end it", self.orders.stop.join(" ")));
        match &self.orders.kill {
            Some(kill) => good(kill, timeout(SHORTLY, run(kill)).await??),
            None => Err(io::Error::other("and there is no other way")),
        }
    }

    /// `EnvironmentFile=` of a unit; only the gate's user and the manager may read it.
    fn write_env(&self) -> io::Result<()> {
        let Some((path, names)) = &self.env_file else { return Ok(()) };
        let mut text = String::new();
        for name in names {
            let value = std::env::var(name).unwrap_or_default();
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!("{name}=\"{value}\"\n"));
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

/// Fulfils `stewardship` until the service has ended.
pub(super) fn steward(stewardship: &str) -> io::Result<()> {
    let stewardship: Stewardship = serde_json::from_str(stewardship)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(stewardship.fulfil())
}

/// In a group of its own: SIGTERM to the steward's is not meant for it.
async fn run(command: &[String]) -> io::Result<ExitStatus> {
    let [program, arguments @ ..] = command else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty command"));
    };
    let mut command = Command::from(child::command(program));
    command.args(arguments).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let status = command.status().await;
    status.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
}

fn good(command: &[String], status: ExitStatus) -> io::Result<()> {
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{}: {status}", command.join(" ")))),
    }
}

/// Into the service's log.
fn eprintln(text: &str) {
    drop(writeln!(io::stderr(), "cutover: {text}"));
}
