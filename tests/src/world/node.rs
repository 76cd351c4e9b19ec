//! Where it is installed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

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

    /// What the node gives to releases, in the place of what it gave.
    ///
    /// # Panics
    /// Where `node.toml` cannot be written.
    pub fn give(&self, inputs: &str) {
        let path = self.root.join("node.toml");
        let text = std::fs::read_to_string(&path).expect("it is a node");
        let before = text.split("\n[inputs]").next().unwrap_or_default();
        std::fs::write(path, format!("{before}\n[inputs]\n{inputs}\n")).expect("it is writable");
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
