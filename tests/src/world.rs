//! A small world in a scratch folder: signing keys, a repository, source trees, nodes.
//!
//! The programs are run as their users run them. Whatever is started ends with its guard.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything here may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of the programs, beside the running test: `target/<profile>/<name>`.
///
/// # Panics
/// Where it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().expect("it lies in a folder");
    // A test lies in target/<profile>/deps, a tool in target/<profile>.
    let profile = folder.ancestors().find(|folder| !folder.ends_with("deps"));
    let profile = profile.expect("not all folders are called so");
    let program = profile.join(name);
    assert!(program.exists(), "{} is missing: `cargo build --bins` first", program.display());
    program
}

/// Where the repository's own files stand, e.g. `tests/apps`.
#[must_use]
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// How a program ended and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What else it said.
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// Where it cannot be started, or was killed.
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("programs print UTF-8");
        Self {
            status: output.status.code().unwrap_or_else(|| panic!("{command:?}: killed")),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The same, where it has succeeded.
    ///
    /// # Panics
    /// Where it has not.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{self}");
        self
    }

    /// The same, where it has failed with `status` and its words contain all of `words`.
    ///
    /// # Panics
    /// Where it has not, or where it panicked itself.
    #[track_caller]
    pub fn refused(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status, status, "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in:\n{self}");
        }
        self
    }

    /// The JSON object that it printed.
    ///
    /// # Panics
    /// Where it printed anything else.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}\n{}{}", self.status, self.stdout, self.stderr)
    }
}

/// A process that is told to end when this goes.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Starts a command.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let started = command.stdin(Stdio::null()).spawn();
        Self(started.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// SIGTERM, then the end; the exit status.
    pub fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.0.wait().ok().and_then(|status| status.code())
    }

    /// Whether it has ended, by itself or otherwise.
    ///
    /// # Panics
    /// Where that cannot be told.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_some()
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        // A process that has ended already needs no signal.
        let _ = Command::new("kill").args(["-s", name, &pid]).stderr(Stdio::null()).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
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

/// A source tree under git.
#[derive(Debug)]
pub struct Tree {
    /// Where it lies.
    pub folder: PathBuf,
}

impl Tree {
    /// Runs git in it.
    ///
    /// # Panics
    /// Where git fails.
    pub fn git<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        command.args(["-c", "user.name=T", "-c", "user.email=t@example.org"]).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let _ = Run::of(&mut command).ok();
    }

    /// Writes a file.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.folder.join(path), text).expect("the tree is writable");
    }

    /// Changes text in a file.
    ///
    /// # Panics
    /// Where the file does not hold `from`.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.folder.join(path)).expect("the file is there");
        assert!(text.contains(from), "{path} does not hold {from}");
        self.write(path, &text.replace(from, to));
    }

    /// Commits everything and tags it `v<version>`.
    pub fn tag(&self, version: &str) {
        self.write("VERSION", version);
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--message", version]);
        self.git(["tag", &format!("v{version}")]);
    }
}

/// A node's root.
#[derive(Debug)]
pub struct NodeDir<'a> {
    world: &'a World,
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

/// Every path below `folder` with its kind, size and link target, but those below `except`.
///
/// # Panics
/// Where it cannot be read.
#[must_use]
pub fn inventory(folder: &Path, except: &[&str]) -> Vec<String> {
    let mut command = Command::new("find");
    command.arg(folder).args(["-mindepth", "1"]);
    for path in except {
        command.args(["-path", &folder.join(path).display().to_string(), "-prune", "-o"]);
    }
    command.args(["-printf", "%P %y %m %s %l\\n"]);
    let mut lines: Vec<String> =
        Run::of(&mut command).ok().stdout.lines().map(str::to_owned).collect();
    // A folder's own size says nothing.
    for line in &mut lines {
        let words: Vec<&str> = line.split(' ').collect();
        if words.get(1) == Some(&"d") {
            *line = format!("{} d {}", words[0], words[2]);
        }
    }
    lines.sort();
    lines
}

/// Two inventories are the same.
///
/// # Panics
/// Where they are not, with the lines that only one of them has.
#[track_caller]
pub fn assert_same(before: &[String], after: &[String]) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (gone, new) = (only(before, after), only(after, before));
    assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}\nnew: {new:#?}");
}

/// An address on loopback that nobody uses now.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address")
}

/// Status and body of a `GET`, or `None` where nobody answers.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let answer = std::io::read_to_string(stream).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Waits.
///
/// # Panics
/// Where it does not become true in half a minute.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
