//! Where it is installed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Run, Running, World, get, inventory, wait_until};

/// A node's root.
#[derive(Debug)]
pub struct NodeDir<'a> {
    pub(super) world: &'a World,
    /// Where it lies.
    pub root: PathBuf,
    /// Where its gate listens.
    pub gate: Option<SocketAddr>,
}

impl<'w> NodeDir<'w> {
    /// A node that was made there, without a gate.
    #[must_use]
    pub fn at(world: &'w World, root: PathBuf) -> Self {
        Self { world, root, gate: None }
    }

    /// `install init` for this node.
    #[must_use]
    pub fn init(&self) -> Command {
        let mut command = self.command();
        command.arg("init").arg("--repo").arg(self.world.repository());
        command.arg("--trust").arg(self.world.root_json());
        if let Some(gate) = self.gate {
            command.args(["--gate", &gate.to_string()]);
        }
        command
    }

    /// `install` on this node, to be given arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.world.command("install");
        command.env("CUTOVER_ROOT", &self.root);
        command
    }

    /// Runs `install`.
    pub fn install<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        Run::of(self.command().args(arguments))
    }

    /// Starts the gate and waits until it answers on its control socket and its address.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn start_gate(&self) -> Running {
        let log = std::fs::File::create(self.root.with_extension("gate.log")).expect("a log");
        let running = Running::start(self.command().arg("gate").stderr(log));
        let gate = self.gate.expect("the node has a gate");
        wait_until("the gate answers", || get(gate, "/.cutover/alive").is_some());
        running
    }

    /// What the node says of itself.
    ///
    /// # Panics
    /// Where it says nothing.
    #[must_use]
    pub fn status(&self) -> Value {
        self.install(["status", "--json"]).ok().json()
    }

    /// Starts `install`, to be met in the middle; [`Running::ended`] tells what it says.
    pub fn begin<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Running {
        let mut command = self.command();
        Running::start(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Its `node.toml`.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn settings(&self) -> String {
        std::fs::read_to_string(self.root.join("node.toml")).expect("it is a node")
    }

    /// Puts this in the place of its `node.toml`.
    ///
    /// # Panics
    /// Where that cannot be written.
    pub fn set(&self, settings: &str) {
        std::fs::write(self.root.join("node.toml"), settings).expect("it is writable");
    }

    /// Adds lines to the end of its `node.toml`.
    pub fn add(&self, lines: &str) {
        self.set(&format!("{}\n{lines}", self.settings()));
    }

    /// Changes text in its `node.toml`.
    ///
    /// # Panics
    /// Where that does not hold `from`.
    #[track_caller]
    pub fn change(&self, from: &str, to: &str) {
        let settings = self.settings();
        assert!(settings.contains(from), "no `{from}` in:\n{settings}");
        self.set(&settings.replace(from, to));
    }

    /// Has it take releases from another place than the repository's folder.
    #[track_caller]
    pub fn takes_from(&self, place: &str) {
        self.change(&self.world.repository().display().to_string(), place);
    }

    /// What the node gives to releases, in the place of what it gave.
    pub fn give(&self, inputs: &str) {
        let settings = self.settings();
        let before = settings.split("\n[inputs]").next().unwrap_or_default();
        self.set(&format!("{before}\n[inputs]\n{inputs}\n"));
    }

    /// What `current` names.
    #[must_use]
    pub fn current(&self) -> Option<String> {
        let target = std::fs::read_link(self.root.join("current")).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// Everything below the root but what lives only as long as processes do: to be compared
    /// before and after a command that must leave it alone.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        inventory(
            &self.root,
            &["run", "state/trust", "state/lock", "state/receipts", "state/history.jsonl"],
        )
    }
}
