//! Services that another manager starts and stops.
//!
//! The commands are real ones. `systemctl` is a small script here, since systemd is not the first
//! process of a test machine: it keeps a process per unit, as `systemctl` would have it done. The unit
//! file that goes with it is held against systemd's own `systemd-analyze verify`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use cutover_install::gate::ControlError;
use rustix::process::Signal;

use crate::client::Client;
use crate::life::{lives, signal};
use crate::node::{Mode, Node, until, version};

/// Starts a service in a session of its own, the way managers do; `$2` is what it is known by.
const MANAGE: &str = r#"#!/bin/sh
folder=$(dirname "$0")
pid() { cat "$folder/$1.pid" 2>/dev/null; }
alive() { [ -n "$(pid "$1")" ] && kill -0 "$(pid "$1")" 2>/dev/null; }
case $1 in
up) alive "$2" || {
    TEST_SERVICE_LISTEN=$CUTOVER_LISTEN TEST_SERVICE_VERSION=$CUTOVER_VERSION \
        setsid -f sh -c 'echo $$ > "$1"; exec "$2" --exact service_process --ignored --nocapture' \
        sh "$folder/$2.pid" "$TEST_PROGRAM" >/dev/null 2>&1 </dev/null
    while ! alive "$2"; do sleep 0.02; done
    } ;;
down) alive "$2" && kill "$(pid "$2")"; while alive "$2"; do sleep 0.02; done; rm -f "$folder/$2.pid" ;;
is-up) alive "$2" ;;
esac
"#;

/// As much of `systemctl` as a gate uses, with `EnvironmentFile=` of the unit.
const SYSTEMCTL: &str = r#"#!/bin/sh
folder=$(dirname "$0")
for unit; do :; done
echo "$*" >> "$folder/calls"
case $1 in
start) env -i PATH="$PATH" FOLDER="$folder" UNIT="$unit" sh -c '
    set -a; . "$FOLDER/../run/$UNIT.env"; set +a; exec "$FOLDER/manage" up "$UNIT"' ;;
stop) exec "$folder/manage" down "$unit" ;;
is-active) exec "$folder/manage" is-up "$unit" ;;
kill) kill -9 "$(cat "$folder/$unit.pid")" ;;
esac
"#;

fn script(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// A node whose services are managed by `manager`, where `@/` is the folder of scripts.
fn managed(manager: &str) -> Node {
    let mut node = Node::new("");
    let folder = node.root.path().join("manager");
    fs::create_dir(&folder).unwrap();
    script(&folder, "manage", MANAGE);
    script(&folder, "systemctl", SYSTEMCTL);
    let text = fs::read_to_string(node.root.node_toml()).unwrap();
    let manager = manager.replace("@/", &format!("{}/", folder.display()));
    let program = std::env::current_exe().unwrap().display().to_string();
    let env = format!("env = {{ TEST_PROGRAM = \"{program}\", GREETING = 'say \"hi\" \\ $HOME' }}");
    fs::write(node.root.node_toml(), format!("{text}\n[service]\n{manager}\n{env}\n")).unwrap();
    node.release("1.0.0", Mode::Good);
    node.release("1.1.0", Mode::Good);
    node.switch("1.0.0");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    node.start_with(|command| {
        command.env("PATH", path);
    });
    node.wait_open();
    node
}

fn managed_pid(node: &Node, name: &str) -> u32 {
    let path = node.root.path().join(format!("manager/{name}.pid"));
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

const COMMAND: &str = r#"manager = { kind = "command", start = ["@/manage", "up", "{version}"], stop = ["@/manage", "down", "{version}"], status = ["@/manage", "is-up", "{version}"] }"#;

fn blue_green(node: &Node, to: &str) {
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version(to)).unwrap();
    session.wait_healthy().unwrap();
    node.switch(to);
    session.promote().unwrap();
    session.open().unwrap();
    session.retire().unwrap();
    session.finish().unwrap();
}

#[test]
fn commands_manage_a_service() {
    let mut node = managed(COMMAND);
    let one = managed_pid(&node, "1.0.0");
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");

    let load = crate::swap::Load::start(node.address, 3);
    blue_green(&node, "1.1.0");
    assert!(load.stop().iter().all(|(status, _)| *status == 200), "a request failed");
    assert!(!lives(one), "it was stopped by command");
    let two = managed_pid(&node, "1.1.0");

    // It dies under its manager's hands: the gate asks for it again.
    signal(two, Signal::KILL);
    until("another start", || node.status().restarts == 1);
    node.wait_open();
    let two = managed_pid(&node, "1.1.0");
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.1.0");

    // A gate that is killed is no matter, and one that ends ends it.
    node.signal(Signal::KILL);
    node.wait_end();
    node.start();
    node.wait_open();
    assert_eq!(managed_pid(&node, "1.1.0"), two);
    assert_eq!(node.status().restarts, 0);
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
    assert!(!lives(two));
}

#[test]
fn systemd_manages_a_service() {
    let mut node = managed(r#"manager = { kind = "systemd", unit = "weave@{version}.service" }"#);
    let env = node.root.run().join("weave@1.0.0.service.env");
    let text = fs::read_to_string(&env).unwrap();
    assert_eq!(fs::metadata(&env).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(text.contains("CUTOVER_VERSION=\"1.0.0\"\n"), "{text}");
    assert!(text.contains(r#"GREETING="say \"hi\" \\ $HOME""#), "{text}");
    blue_green(&node, "1.1.0");
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.1.0");
    let service = managed_pid(&node, "weave@1.1.0.service");
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
    assert!(!lives(service));
    let calls = fs::read_to_string(node.root.path().join("manager/calls")).unwrap();
    let calls: Vec<&str> = calls.lines().filter(|call| !call.starts_with("is-active")).collect();
    assert_eq!(
        calls,
        [
            "start weave@1.0.0.service",
            "start weave@1.1.0.service",
            "stop weave@1.0.0.service",
            "stop weave@1.1.0.service"
        ]
    );
}

#[test]
fn a_manager_that_fails_says_why() {
    let node = managed(COMMAND);
    let folder = node.root.path().join("manager");
    script(&folder, "manage", "#!/bin/sh\n[ $1 = is-up ] || { echo no power; exit 4; }\n");
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    let error = session.wait_healthy().unwrap_err();
    let ControlError::Unhealthy { log_tail, .. } = &error else { panic!("{error}") };
    let said = log_tail.join("\n");
    assert!(
        said.contains("no power") && said.contains("manage up 1.1.0: exit status: 4"),
        "{said}"
    );
    session.abandon().unwrap();
    session.finish().unwrap();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    script(&folder, "manage", MANAGE);
}

#[test]
fn the_unit_in_the_documentation_is_sound() {
    let text = include_str!("../../../formats/docs/node-toml.md");
    let unit = text.split("```ini\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weave@.service");
    fs::write(&path, unit.replace("/srv/weave/releases/%i/bin/serve", "/bin/true")).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let verified = verified.unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}
