//! A node with releases made by hand, and its gate.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cutover_formats::descriptor::{
    Assets, Carrier, Descriptor, FORMAT, FileListRef, FrameTableRef, Health, Requires, Service,
    Source, SourceKind, StopSignal, Swap,
};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{Entry, FileList, Kind};
use cutover_formats::version::Version;
use cutover_install::gate::{GateStatus, Session, State};
use cutover_install::root::Root;
use rustix::process::{Pid, Signal, kill_process};

/// What a release's service does out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Good,
    /// Health checks fail.
    Ill,
    /// It ends at once.
    Ends,
    /// It answers well once, and then badly.
    Sickens,
    /// It takes no SIGTERM.
    Stubborn,
    /// Its requests have two minutes to end in, not one second.
    Patient,
    /// Its requests have four seconds.
    Lasting,
    /// Both.
    Enduring,
    /// It is reached by a unix socket.
    Unix,
    /// It takes 300 ms to listen.
    Slow,
    /// It writes down all that it gets, in the file `record` of the root.
    Record,
    /// It writes down the signals that it gets, in the same file, and ends with the first.
    Signals,
    /// It writes them down and goes on.
    Deaf,
}

pub(crate) struct Node {
    pub(crate) root: Root,
    pub(crate) address: SocketAddr,
    gate: Option<Child>,
    _folder: tempfile::TempDir,
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Node {
    /// A node without releases and without a gate.
    pub(crate) fn new(gate_settings: &str) -> Self {
        // Services of another user must be able to come here.
        let open = fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let root = Root::new(folder.path().to_path_buf());
        let address = free_address();
        let settings = format!(
            "product = \"weave\"\nrepository = \"/nowhere\"\n\
             [gate]\nlisten = \"{address}\"\n{gate_settings}\n"
        );
        fs::write(root.node_toml(), settings).unwrap();
        fs::create_dir_all(root.state()).unwrap();
        Self { root, address, gate: None, _folder: folder }
    }

    /// A node that runs 1.0.0 behind an open gate.
    pub(crate) fn running(gate_settings: &str) -> Self {
        Self::running_one(gate_settings, Mode::Good)
    }

    /// The same, with a release of another kind.
    pub(crate) fn running_one(gate_settings: &str, mode: Mode) -> Self {
        let mut node = Self::new(gate_settings);
        node.release("1.0.0", mode);
        node.switch("1.0.0");
        node.start();
        node.wait_open();
        node
    }

    pub(crate) fn release(&self, text: &str, mode: Mode) {
        self.release_that_stops_by(text, mode, StopSignal::default());
    }

    pub(crate) fn release_that_stops_by(&self, text: &str, mode: Mode, signal: StopSignal) {
        let version = version(text);
        fs::create_dir_all(self.root.prefix(&version)).unwrap();
        fs::create_dir_all(self.root.record(&version)).unwrap();
        let mut descriptor = descriptor(&version, mode);
        if let Some(service) = &mut descriptor.service {
            service.stop_signal = signal;
        }
        fs::write(self.root.descriptor(&version), descriptor.to_bytes()).unwrap();
    }

    /// A sealed release with `files` in its folder `static`, and their path in `[assets]`.
    pub(crate) fn release_with_assets(&self, text: &str, files: &[(&str, &[u8])]) {
        self.release(text, Mode::Good);
        let version = version(text);
        let prefix = self.root.prefix(&version);
        fs::create_dir_all(prefix.join("static")).unwrap();
        let mut entries = vec![Entry { path: "static".parse().unwrap(), kind: Kind::Folder }];
        for (name, bytes) in files {
            fs::write(prefix.join("static").join(name), bytes).unwrap();
            let path = format!("static/{name}").parse().unwrap();
            let (size, sha256) = (bytes.len() as u64, Digest::of(bytes));
            entries.push(Entry { path, kind: Kind::File { executable: false, size, sha256 } });
        }
        symlink("/etc/hostname", prefix.join("static/link.txt")).unwrap();
        let target = "a.css".to_owned();
        let path = "static/link.txt".parse().unwrap();
        entries.push(Entry { path, kind: Kind::Link { target } });
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let mut descriptor = descriptor(&version, Mode::Good);
        let list = FileList::new(descriptor.product.clone(), version.clone(), 0, entries).unwrap();
        let bytes = list.to_bytes();
        descriptor.files.sha256 = Digest::of(&bytes);
        descriptor.files.size = bytes.len() as u64;
        descriptor.files.text_sha256 = Digest::of(&list.to_json());
        descriptor.files.entries = list.entries().len() as u64;
        descriptor.files.bytes = list.bytes();
        descriptor.assets = Some(Assets {
            path: "/assets/{version}/".parse().unwrap(),
            folder: "static".parse().unwrap(),
        });
        fs::write(self.root.file_list(&version), bytes).unwrap();
        fs::write(self.root.descriptor(&version), descriptor.to_bytes()).unwrap();
        fs::write(self.root.seal(&version), "{}").unwrap();
    }

    /// What an install's switch does.
    pub(crate) fn switch(&self, text: &str) {
        let new = self.root.path().join("current.new");
        symlink(format!("releases/{text}"), &new).unwrap();
        fs::rename(new, self.root.current()).unwrap();
    }

    pub(crate) fn gate_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_install"));
        command
            .args(["gate", "--root"])
            .arg(self.root.path())
            .env("CUTOVER_TOKEN", "secret")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    pub(crate) fn start(&mut self) {
        self.start_with(|_| {});
    }

    pub(crate) fn start_with(&mut self, adorn: impl FnOnce(&mut Command)) {
        let mut command = self.gate_command();
        adorn(&mut command);
        self.gate = Some(command.spawn().unwrap());
        until("a gate", || Session::connect(&self.root).unwrap().is_some());
    }

    /// Starts `command`, which starts the gate when somebody knocks.
    pub(crate) fn start_instead<T>(&mut self, mut command: Command, knock: fn(SocketAddr) -> T) {
        self.gate = Some(command.spawn().unwrap());
        until("somebody who listens", || std::net::TcpStream::connect(self.address).is_ok());
        drop(knock(self.address));
        until("a gate", || Session::connect(&self.root).unwrap().is_some());
    }

    /// Starts another gate that takes the place of this one, which is returned.
    pub(crate) fn replace_gate(&mut self) -> Child {
        let mut command = self.gate_command();
        let successor = command.arg("--replace").spawn().unwrap();
        let pid = successor.id();
        let before = self.gate.replace(successor).unwrap();
        until("the new gate", || {
            let mut session = Session::connect(&self.root).unwrap().expect("always a gate");
            session.status().is_ok_and(|status| status.pid == pid)
        });
        before
    }

    pub(crate) fn wait_open(&self) {
        until("an open gate", || self.status().state == State::Open);
    }

    /// Has `/held` answer.
    pub(crate) fn answer_held(&self) {
        fs::write(self.root.path().join("answer"), "").unwrap();
    }

    pub(crate) fn session(&self) -> Session {
        Session::connect(&self.root).unwrap().expect("a gate is running")
    }

    pub(crate) fn status(&self) -> GateStatus {
        self.session().status().unwrap()
    }

    /// The gate's process.
    pub(crate) fn pid(&self) -> u32 {
        self.gate.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let gate = self.gate.as_ref().unwrap();
        kill_process(Pid::from_child(gate), signal).unwrap();
    }

    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        self.gate.take().unwrap().wait().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(mut gate) = self.gate.take() else { return };
        let pid = Pid::from_child(&gate);
        // One that was stopped hears nothing; one that does not end by itself is killed.
        let _ = kill_process(pid, Signal::TERM);
        let _ = kill_process(pid, Signal::CONT);
        let deadline = Instant::now() + Duration::from_secs(60);
        while matches!(gate.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = gate.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn descriptor(version: &Version, mode: Mode) -> Descriptor {
    let file = |name: &str| format!("weave-{version}{name}").parse().unwrap();
    Descriptor {
        format: FORMAT.to_string(),
        product: "weave".parse().unwrap(),
        version: version.clone(),
        source: Source { kind: SourceKind::Tree, commit: None, tag: None, time: 0 },
        files: FileListRef {
            file: "files.json.zst".parse().unwrap(),
            sha256: Digest::of(b""),
            size: 0,
            text_sha256: Digest::of(b""),
            entries: 0,
            bytes: 0,
        },
        carriers: vec![Carrier::Bundle {
            file: file(".tar.zst"),
            sha256: Digest::of(b""),
            size: 0,
            frames: FrameTableRef {
                file: "frames.bin".parse().unwrap(),
                sha256: Digest::of(b""),
                size: 0,
            },
        }],
        vendored: Vec::new(),
        requires: Requires::default(),
        python: None,
        service: Some(service(mode)),
        config: BTreeMap::new(),
        assets: None,
        stages: BTreeMap::new(),
        checks: Vec::new(),
        schema: None,
        inputs: BTreeMap::new(),
    }
}

fn service(mode: Mode) -> Service {
    let program = std::env::current_exe().unwrap().display().to_string();
    let arguments = ["--exact", "service_process", "--ignored", "--nocapture"];
    let mut command: Vec<String> = arguments.iter().map(|part| (*part).to_owned()).collect();
    command.insert(0, program);
    if matches!(mode, Mode::Stubborn | Mode::Enduring) {
        // What is ignored stays ignored in the program that takes the shell's place.
        let shell = ["/bin/sh", "-c", "trap '' TERM; exec \"$0\" \"$@\""];
        command.splice(0..0, shell.map(str::to_owned));
    }
    let listen = if mode == Mode::Unix { "{socket}" } else { "{listen}" };
    let env = [
        ("TEST_SERVICE_VERSION", "{version}".to_owned()),
        ("TEST_SERVICE_LISTEN", listen.to_owned()),
        ("TEST_SERVICE_MODE", format!("{mode:?}")),
        ("TEST_SERVICE_RECORD", "{root}/record".to_owned()),
        ("TEST_SERVICE_ANSWER", "{root}/answer".to_owned()),
    ];
    Service {
        command,
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        health: Health {
            send_headers: Default::default(),
            path: "/health".to_owned(),
            // Long enough for a machine with other things to do; one that is ill is asked to the end.
            within: if mode == Mode::Ill { "6s" } else { "30s" }.parse().unwrap(),
            stay: "300ms".parse().unwrap(),
        },
        swap: Swap::BlueGreen,
        drain: match mode {
            Mode::Lasting | Mode::Enduring => "4s",
            Mode::Patient | Mode::Signals => "2m",
            _ => "1s",
        }
        .parse()
        .unwrap(),
        stop_signal: StopSignal::default(),
    }
}
