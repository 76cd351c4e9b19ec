//! A small world in a scratch folder: signing keys, a repository, source trees, nodes.
//!
//! The programs are run as their users run them. Whatever is started ends with its guard.

mod asking;
mod inventory;
mod node;
mod running;
mod tree;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub use self::asking::{Ending, get, wait_until};
pub use self::inventory::{assert_same, inventory};
pub use self::node::NodeDir;
pub use self::running::{Run, Running, program};
pub use self::tree::Tree;
pub use crate::ports::free_address;

/// Where the repository's own files stand, e.g. `tests/apps`.
#[must_use]
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Keys, a repository, trees and nodes in a scratch folder.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Keys without a passphrase, and an empty repository in a folder.
    ///
    /// # Panics
    /// Where `pack` does not make them.
    #[must_use]
    pub fn new() -> Self {
        let world = Self::bare();
        let _ = world.pack(["keys", "new", "--unencrypted"]).ok();
        let _ = world.pack(["repo", "init"]).ok();
        world
    }

    /// Nothing yet.
    ///
    /// # Panics
    /// Where there is no scratch folder.
    #[must_use]
    pub fn bare() -> Self {
        Self { folder: tempfile::tempdir().expect("a scratch folder") }
    }

    /// A path in the scratch folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The repository's folder.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    /// The first root of trust.
    #[must_use]
    pub fn root_json(&self) -> PathBuf {
        self.repository().join("metadata/1.root.json")
    }

    /// One of the programs, without the caller's own settings.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CUTOVER_") {
                command.env_remove(name);
            }
        }
        command.env("CUTOVER_CACHE", self.path("cache")).current_dir(self.folder.path());
        command
    }

    /// `pack` with this world's repository and keys, to be given arguments.
    #[must_use]
    pub fn packer(&self) -> Command {
        let mut command = self.command("pack");
        command.env("CUTOVER_REPO", self.repository()).env("CUTOVER_KEYS", self.path("keys"));
        command
    }

    /// Runs `pack`.
    pub fn pack<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        Run::of(self.packer().args(arguments))
    }

    /// A git tree that holds one of `tests/apps`.
    ///
    /// # Panics
    /// Where git does not work.
    #[must_use]
    pub fn tree(&self, app: &str) -> Tree {
        let tree = Tree { folder: self.path("tree") };
        let copied = Command::new("cp")
            .arg("-r")
            .arg(source("apps").join(app))
            .arg(&tree.folder)
            .status()
            .expect("cp");
        assert!(copied.success(), "cp: {copied}");
        tree.git(["init", "--quiet"]);
        tree
    }

    /// Releases the tiny application as each of these versions, without a channel.
    ///
    /// # Panics
    /// Where `pack` does not.
    #[must_use]
    pub fn release_tiny(&self, versions: &[&str]) -> Tree {
        let tree = self.tree("tiny");
        for version in versions {
            tree.tag(version);
            let _ = self.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
        }
        tree
    }

    /// A node that takes releases from this world's repository.
    ///
    /// # Panics
    /// Where `install init` fails.
    #[must_use]
    pub fn node(&self, gate: Option<SocketAddr>) -> NodeDir<'_> {
        let node = self.unmade_node(self.path("node"), gate);
        let _ = Run::of(&mut node.init()).ok();
        node
    }

    /// The same at `root`, before `install init` has run.
    #[must_use]
    pub fn unmade_node(&self, root: PathBuf, gate: Option<SocketAddr>) -> NodeDir<'_> {
        NodeDir { world: self, root, gate }
    }

    /// Starts `repo-server` on this world's repository; its address.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn serve(&self, arguments: &[&str]) -> (Running, String) {
        let mut command = self.command("repo-server");
        command.arg("--store").arg(self.repository()).args(["--listen", "127.0.0.1:0"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running::start(&mut command);
        let stdout = running.0.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("repo-server prints its address");
        let address = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        (running, address)
    }
}
