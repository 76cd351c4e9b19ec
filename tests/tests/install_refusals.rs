//! What `install` refuses: the message, the exit code, and that the node is as it was.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cutover_tests::world::{
    NodeDir, Run, World, assert_same, free_address, get, inventory, program, wait_until,
};
use serde_json::Value;

/// Runs `install` on a node that must be left as it is.
#[track_caller]
fn refused(node: &NodeDir<'_>, arguments: &[&str], status: i32, words: &[&str]) {
    let before = node.inventory();
    node.install(arguments.iter().copied()).refused(status, words);
    assert_same(&before, &node.inventory());
}

#[test]
fn unknown_versions_and_channels_name_the_nearest() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    // Not what runs.
    refused(&node, &["1.1.1"], 4, &["tiny has no release 1.1.1", "nearest is 1.1.0"]);
    refused(&node, &["^3"], 4, &["tiny has no release ^3"]);
    refused(&node, &["stabel"], 4, &["no channel `stabel`", "stable"]);
    refused(&node, &["testing"], 4, &["the channel `testing` is empty", "pack promote"]);
    refused(&node, &[], 2, &["no version is given"]);
    refused(&node, &["Not A Version"], 2, &["Not A Version"]);
}

#[test]
fn a_root_that_is_not_the_repositorys() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let other = World::new();
    let init = |trust: &Path| {
        let mut command = world.command("install");
        command.arg("init").arg("--root").arg(world.path("node"));
        command.arg("--repo").arg(world.repository()).arg("--trust").arg(trust);
        Run::of(&mut command)
    };
    init(&other.root_json()).refused(3, &["root"]);
    assert!(!world.path("node").exists(), "nothing is left behind");
    init(&world.path("tree/release.toml")).refused(3, &[]);
    init(&world.path("nowhere.json")).refused(4, &["nowhere.json"]);
    assert!(!world.path("node").exists(), "nothing is left behind");
    // What the operator has put there beforehand is theirs.
    std::fs::create_dir_all(world.path("node/shared")).unwrap();
    std::fs::write(world.path("node/shared/a.ini"), "key = 1\n").unwrap();
    init(&other.root_json()).refused(3, &["root"]);
    assert_eq!(inventory(&world.path("node"), &[]), ["shared d 755", "shared/a.ini f 644 8 "]);
    let _ = init(&world.root_json()).ok();
    assert!(world.path("node/shared/a.ini").exists());
    init(&world.root_json()).refused(2, &["already"]);
}

#[test]
fn a_repository_that_cannot_be_reached() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    std::fs::rename(world.repository(), world.path("elsewhere")).unwrap();
    refused(&node, &["1.0.0"], 8, &["repository"]);
    let nobody = format!("http://{}", free_address());
    node.takes_from(&nobody);
    refused(&node, &["1.0.0"], 8, &[&nobody]);
}

/// What would fail later, and say less.
#[test]
fn places_that_no_node_can_be_made_in() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let made = |name: &str, gate: Option<&str>| {
        let mut init = world.unmade_node(world.path(name), None).init();
        if let Some(gate) = gate {
            init.args(["--gate", gate]);
        }
        Run::of(&mut init)
    };
    let long = "x".repeat(100);
    made(&long, Some("127.0.0.1:8080")).refused(2, &["gate.sock", "a root with a shorter path"]);
    assert!(!world.path(&long).exists());
    let _ = made(&long, None).ok();
    let node = world.unmade_node(world.path(&long), None);
    node.add("[gate]\nlisten = '127.0.0.1:8080'\n");
    node.install(["1.0.0"]).refused(2, &["a root with a shorter path", "nothing was changed"]);

    let named = ["IP address and a port, such as 127.0.0.1:8765", "names are not looked up"];
    made("named", Some("localhost:8765")).refused(2, &named);

    std::fs::create_dir_all(world.path("taken/current")).unwrap();
    made("taken", None).refused(2, &["current is a folder", "should be a link to a release"]);
    std::fs::remove_dir(world.path("taken/current")).unwrap();
    symlink("/opt/app", world.path("taken/current")).unwrap();
    made("taken", None).refused(2, &["current is a link to /opt/app", "move"]);
    assert!(!world.path("taken/state").exists(), "nothing was made");
    std::fs::remove_file(world.path("taken/current")).unwrap();
    let _ = made("taken", None).ok();
    std::fs::create_dir(world.path("taken/current")).unwrap();
    let node = world.unmade_node(world.path("taken"), None);
    node.install(["1.0.0"]).refused(2, &["current is a folder", "nothing was changed"]);

    symlink(world.path("away"), world.path("dangling")).unwrap();
    let words = ["dangling is a link to", "which is not there", "mount"];
    made("dangling", None).refused(2, &words);
    world.unmade_node(world.path("dangling"), None).install(["status"]).refused(2, &words);
}

/// Monitoring, for one, looks at a node as a user to whom nothing of it belongs.
#[test]
fn another_user_may_look_and_is_told_what_it_takes_to_do_more() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    // Programs that are being tested may lie where only their builder gets to.
    let copy = world.path("install");
    std::fs::copy(program("install"), &copy).unwrap();
    std::fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    let another = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        Run::of(command.args(arguments).env("CUTOVER_ROOT", &node.root).current_dir("/"))
    };
    let before = node.inventory();
    for look in [["status"], ["list"], ["log"], ["verify"]] {
        let _ = another(&look).ok();
    }
    let hint = "run it as the user whose files these are, or as root";
    for act in [&["1.1.0"][..], &["rollback"], &["prune"], &["fetch", "1.0.0", "--output", "/away"]]
    {
        another(act).refused(2, &["Permission denied", hint]);
    }
    assert_same(&before, &node.inventory());
}

#[test]
fn no_space_is_seen_before_anything_is_fetched() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let big = world.path("big");
    std::fs::create_dir(&big).unwrap();
    std::fs::write(big.join("noise"), vec![7; 8 << 20]).unwrap();
    let release = ["release", "--tree", "big", "--version", "9.0.0", "--product", "tiny"];
    let _ = world.pack(release).ok();
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    // A file system of 4 MiB in a mount namespace of its own stands in for a full disk.
    let script = "mount -t tmpfs -o size=4m none \"$1/small\" && cp -a \"$1/node/.\" \"$1/small\" && \
                  CUTOVER_ROOT=\"$1/small\" \"$2\" 9.0.0; status=$?; \
                  ls \"$1/small/releases\"; exit $status";
    std::fs::create_dir(world.path("small")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(world.path("")).arg(program("install"));
    let run = Run::of(&mut command);
    assert!(!run.stdout.contains("9.0.0"), "{run}");
    run.refused(7, &["not enough space", "nothing was fetched"]);
}

#[test]
fn what_the_release_requires() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    tree.replace("release.toml", "commands = [\"python3\"]", "commands = [\"no-such-program\"]");
    let config = "\n[config]\n\"a.ini\" = { from = \"a.ini\", required = true }\n";
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    tree.write("release.toml", &format!("{toml}{config}"));
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    refused(&node, &["1.1.0"], 2, &["no-such-program", "shared/a.ini", "nothing was fetched"]);
}

#[test]
fn a_second_install_at_once() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let lock = std::fs::File::open(node.root.join("state/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    refused(&node, &["1.1.0"], 6, &["being changed by", "install 1.0.0"]);
    drop(lock);
    let _ = node.install(["1.1.0"]).ok();
}

#[test]
fn a_service_that_never_gets_healthy() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    tree.replace("release.toml", "within = \"10s\"", "within = \"1s\"");
    tree.replace("release.toml", "TINY_VERSION =", "TINY_UNHEALTHY = \"1\", TINY_VERSION =");
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let _gate = node.start_gate();
    for swap in ["blue-green", "backoff", "hold"] {
        let run = node.install(["1.1.0", "--swap", swap]);
        run.refused(5, &["health", "did not become healthy", "the node is on 1.0.0 as before"]);
        assert_eq!(node.current().as_deref(), Some("1.0.0"));
        wait_until("the old release serves", || {
            get(node.gate.unwrap(), "/")
                .is_some_and(|(status, body)| status == 200 && body.contains("1.0.0"))
        });
    }
    // By its channel it is not taken again.
    node.install(["stable"]).refused(5, &["failed on this node", "install 1.1.0"]);
    assert_eq!(node.status()["gate"]["running"]["version"], "1.0.0");
}

#[test]
fn a_gate_that_is_not_running() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let run = node.install(["1.1.0"]).ok();
    assert!(run.stderr.contains("the gate is not running: no request is held"), "{run}");
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
    node.install(["maintenance", "on"]).refused(4, &["the gate is not running"]);
}

#[test]
fn a_port_in_use() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let node = world.node(Some(address));
    let _ = node.install(["1.0.0"]).ok();
    refused(&node, &["gate"], 2, &["cannot listen on", &address.to_string()]);
}

#[test]
fn a_bundle_that_is_not_what_was_signed() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let folder = world.repository().join("targets/releases/tiny/1.1.0");
    let files = inventory(&folder, &[]);
    let bundle = files.iter().find(|line| line.contains(".tar.zst")).unwrap();
    let path = folder.join(bundle.split(' ').next().unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    refused(&node, &["1.1.0"], 3, &["sha256", "nothing was switched: the node is on 1.0.0"]);
    bytes.truncate(middle);
    std::fs::write(&path, &bytes).unwrap();
    node.install(["1.1.0"]).refused(8, &["ends after"]);
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
}

#[test]
fn a_changed_file_is_found() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let _ = node.install(["verify"]).ok();
    std::fs::write(node.root.join("current/app.py"), "print('changed')\n").unwrap();
    std::fs::write(node.root.join("current/extra"), "").unwrap();
    node.install(["verify"]).refused(3, &["2 paths", "app.py has contents with sha256", "extra"]);
}

#[test]
fn a_killed_install_is_ended_by_the_next() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    // What a crash between unpack and switch leaves behind.
    let opening = r#"{"opening":{"id":"x","operation":"install","from":"1.0.0","to":"1.1.0","began":"2026-01-01T00:00:00Z"}}"#;
    let journal = format!("{opening}\n{{\"stage\":\"unpack\"}}\n");
    std::fs::write(node.root.join("state/journal"), journal).unwrap();
    std::fs::create_dir(node.root.join("releases/1.1.0")).unwrap();
    std::fs::write(node.root.join("releases/1.1.0/half"), "").unwrap();
    assert_eq!(node.status()["unfinished"]["stage"], "unpack");
    let run = node.install(["resume"]).ok();
    assert!(run.stdout.contains("1.0.0 is current, as before"), "{run}");
    // What was brought stays for the next try, which takes nothing that does not belong there.
    assert!(node.root.join("releases/1.1.0/half").exists());
    let _ = node.install(["1.1.0"]).ok();
    assert!(!node.root.join("releases/1.1.0/half").exists());
    let _ = node.install(["verify"]).ok();
    // And what one between the rename and the receipt leaves behind.
    let journal = format!("{opening}\n{{\"stage\":\"switch\"}}\n");
    std::fs::write(node.root.join("state/journal"), journal).unwrap();
    let run = node.install(["resume"]).ok();
    assert!(run.stdout.contains("1.1.0 is current"), "{run}");
    assert_eq!(node.status()["unfinished"], Value::Null);
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

#[test]
fn a_gate_for_the_same_root_runs_already() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let gate = node.start_gate();
    node.install(["gate"]).refused(6, &["runs for", &gate.0.id().to_string()]);
}
