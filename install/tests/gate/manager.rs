//! The gate under a service manager: its sockets, what it is told, and the units that are shipped.
//!
//! Nothing here has systemd as its first process. `systemd-socket-activate` and `systemd-analyze` are
//! systemd's own; the socket that `sd_notify` goes to is a real one.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::client::Client;
use crate::node::{Mode, Node, until};

/// Shell that starts a gate again and again, each with the socket that it has itself.
const MANAGER: &str = "trap 'kill $gate; wait $gate; exit' TERM; while :; do \
    sh -c 'LISTEN_PID=$$ exec \"$@\"' sh \"$@\" & gate=$!; wait $gate; done";

fn activated(node: &Node, address: &str, program: &Command) -> Command {
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", address, "--fdname=web", "sh", "-c", MANAGER, "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    command.stdin(Stdio::null()).current_dir(node.root.path());
    command
}

#[test]
fn a_manager_s_socket_outlives_gates() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    let program = node.gate_command();
    let manager = activated(&node, &node.address.to_string(), &program);
    node.start_instead(manager, Client::connect);
    node.wait_open();
    let service = node.status().running.unwrap().pid;
    for _ in 0..3 {
        let gate = node.status().pid;
        crate::life::signal(gate, Signal::KILL);
        // Nobody accepts now, and yet nobody is refused.
        assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
        node.wait_open();
        assert_ne!(node.status().pid, gate);
        assert_eq!(node.status().running.unwrap().pid, service);
    }
    let environ = fs::read(format!("/proc/{}/environ", service.unwrap())).unwrap();
    assert!(!String::from_utf8_lossy(&environ).contains("LISTEN_"), "it is not the service's");
}

#[test]
fn a_socket_elsewhere_is_refused() {
    let node = Node::new("");
    let other = crate::node::free_address();
    let program = node.gate_command();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", &other.to_string(), "--fdname=web"]);
    command.arg(program.get_program()).args(program.get_args());
    let gate = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("somebody who listens", || std::net::TcpStream::connect(other).is_ok());
    let output = gate.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let said = format!("listens on {other}, and node.toml says {}", node.address);
    assert!(text.contains(&said), "{text}");
}

pub(crate) struct Manager(UnixDatagram);

impl Manager {
    pub(crate) fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Self(socket)
    }

    /// Passes over all that it was told up to now.
    pub(crate) fn forget(&self, path: &Path) {
        UnixDatagram::unbound().unwrap().send_to(b"up to here", path).unwrap();
        self.hears("up to here");
    }

    /// Waits for a message that begins with `text`.
    pub(crate) fn hears(&self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("{text}: {error}"));
            let said = std::str::from_utf8(&buffer[..length]).unwrap();
            if said.starts_with(text) {
                return said.to_owned();
            }
        }
    }
}

#[test]
fn the_manager_is_told() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    let path = node.root.path().join("notify");
    let manager = Manager::at(&path);
    node.start_with(|command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    });
    manager.hears("READY=1");
    manager.hears("STATUS=open: the service is healthy (1.0.0)");
    let asked = std::time::Instant::now();
    (0..4).for_each(|_| drop(manager.hears("WATCHDOG=1")));
    assert!(asked.elapsed() < Duration::from_secs(100));
    node.signal(Signal::HUP);
    assert!(manager.hears("RELOADING=1").contains("\nMONOTONIC_USEC="));
    manager.hears("READY=1");
    let service = node.status().running.unwrap().pid.unwrap();
    let environ = fs::read(format!("/proc/{service}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environ).contains("NOTIFY_SOCKET"));
    node.signal(Signal::TERM);
    manager.hears("STOPPING=1");
    assert!(node.wait_end().success());
}

/// The highest exposure, in tenths, that a unit may have by the reckoning of systemd 252.
const EXPOSURE: [(&str, u32); 3] = [
    ("cutover-gate@.service", 28),
    ("cutover-repo-server.service", 20),
    ("cutover-refresh.service", 30),
];

#[test]
fn units_are_sound_and_fenced_in() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in fs::read_dir(shipped).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            continue;
        }
        let unit = folder.path().join(entry.file_name());
        // The programs are not installed here; any one will do.
        let text = fs::read_to_string(entry.path()).unwrap();
        let text = text.replace("/usr/lib/cutover/bin/", "/usr/bin/env /usr/lib/cutover/bin/");
        fs::write(&unit, text).unwrap();
        units.push(unit);
    }
    assert!(units.len() >= 5, "{units:?}");
    let verified =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output();
    let verified = verified.unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("cutover"), "{said}");
    for (unit, most) in EXPOSURE {
        let secured = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", &format!("--threshold={most}")])
            .arg(folder.path().join(unit))
            .output()
            .unwrap();
        let table = String::from_utf8_lossy(&secured.stdout);
        assert!(secured.status.success(), "{unit} is more exposed than {most}:\n{table}");
    }
}
