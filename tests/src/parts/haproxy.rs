//! HAProxy in master-worker mode, so that it can be reloaded.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::world::{Running, wait_until};

/// An HAProxy that runs.
#[derive(Debug)]
pub struct Haproxy {
    process: Option<Running>,
    config: PathBuf,
    /// Its runtime socket.
    pub socket: PathBuf,
}

impl Haproxy {
    /// Starts one in `folder`, which must exist, with this configuration. `{socket}` in it stands
    /// for the path of its runtime socket.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn start(folder: &Path, name: &str, config: &str) -> Self {
        let socket = folder.join(format!("{name}.sock"));
        let file = folder.join(format!("{name}.cfg"));
        let config = config.replace("{socket}", &socket.display().to_string());
        std::fs::write(&file, config).expect("the folder is writable");
        let mut haproxy = Self { process: None, config: file, socket };
        haproxy.start_again();
        haproxy
    }

    /// Starts it after it was ended.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn start_again(&mut self) {
        let mut command = Command::new("haproxy");
        command.args(["-W", "-db", "-f"]).arg(&self.config);
        let log = self.config.with_extension("log");
        let log = std::fs::File::create(log).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        self.process = Some(Running::start(&mut command));
        wait_until("haproxy answers", || self.try_ask("show info").is_some());
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.process = None;
    }

    /// What it answers to a command.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap_or_else(|| panic!("haproxy does not answer `{command}`"))
    }

    fn try_ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Its number of reloads and its worker: `show info` has the latter as `Pid`.
    fn worker(&self) -> Option<String> {
        let info = self.try_ask("show info")?;
        info.lines().find(|line| line.starts_with("Pid:")).map(str::to_owned)
    }

    /// Reloads it, and waits until the new worker answers.
    ///
    /// # Panics
    /// Where none comes.
    pub fn reload(&self) {
        let before = self.worker();
        self.process.as_ref().expect("it runs").signal("USR2");
        wait_until("haproxy has reloaded", || {
            let now = self.worker();
            now.is_some() && now != before
        });
    }

    /// Status of a server as its statistics have it, e.g. `UP`, `DRAIN`, `MAINT`.
    ///
    /// # Panics
    /// Where it knows no such server.
    #[must_use]
    pub fn status(&self, server: &str) -> String {
        self.stat(server, 17)
    }

    /// Whether a server was told to drain, whatever its health is meanwhile.
    ///
    /// # Panics
    /// Where it knows no such server.
    #[must_use]
    pub fn drains(&self, server: &str) -> bool {
        /// `SRV_ADMF_FDRAIN` of HAProxy: drain mode, by the runtime socket.
        const DRAIN: u32 = 0x08;
        let (backend, name) = server.split_once('/').expect("BACKEND/SERVER");
        let state = self.ask(&format!("show servers state {backend}"));
        let rows = state.lines().map(|row| row.split(' ').collect::<Vec<_>>());
        let row = rows.into_iter().find(|row| row.get(3) == Some(&name));
        let row = row.unwrap_or_else(|| panic!("no {server} in {state}"));
        row[6].parse::<u32>().expect("a number") & DRAIN != 0
    }

    /// Requests that a server was given.
    ///
    /// # Panics
    /// Where it knows no such server.
    #[must_use]
    pub fn requests(&self, server: &str) -> u64 {
        self.stat(server, 7).parse().expect("a number")
    }

    fn stat(&self, server: &str, column: usize) -> String {
        let wanted = server.replace('/', ",") + ",";
        let stats = self.ask("show stat");
        let row = stats.lines().find(|row| row.starts_with(&wanted));
        let row = row.unwrap_or_else(|| panic!("no {server} in {stats}"));
        row.split(',').nth(column).expect("a column").to_owned()
    }
}
