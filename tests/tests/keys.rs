//! What nodes make of it when people change keys or take a release back.

use std::path::Path;
use std::process::Command;

use cutover_tests::world::{Run, World};

#[test]
fn a_withdrawn_release_is_refused_by_channel_and_by_version_and_named_where_it_runs() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let _ = world.pack(["promote", "1.1.0", "stable"]).ok();
    let node = world.node(None);
    let _ = node.install(["stable"]).ok();
    let status = node.status();
    assert!(status["withdrawn"].is_null(), "{status}");
    let roles = status["metadata"].as_array().expect("a list");
    let timestamp = roles.iter().find(|role| role["role"] == "timestamp").expect("it was seen");
    assert!(matches!(timestamp["days_left"].as_i64(), Some(13..=14)), "{timestamp}");
    assert_eq!(timestamp["expires_soon"], false);

    let _ = world.pack(["withdraw", "1.1.0", "--reason", "eats the mail"]).ok();
    let words = ["tiny 1.1.0 was withdrawn from ", "eats the mail", "nothing was changed"];
    let _ = node.install(["stable"]).refused(3, &words);
    let _ = node.install(["1.1.0"]).refused(3, &words);
    let _ = node.install(["=1.1.0"]).refused(3, &words);
    assert_eq!(node.current().as_deref(), Some("1.1.0"), "what runs goes on running");

    let status = node.install(["status"]).ok();
    assert!(status.stderr.contains("tiny 1.1.0 is current here and WAS WITHDRAWN from"));
    assert!(status.stderr.contains("eats the mail"), "{}", status.stderr);
    assert_eq!(node.status()["withdrawn"]["reason"], "eats the mail");

    // A requirement passes over it, and so does the channel once it has moved.
    let _ = node.install(["^1"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
    let _ = world.pack(["promote", "1.1.0", "testing"]).refused(2, &["was withdrawn from"]);
    let _ = world
        .pack(["promote", "1.0.0", "stable"])
        .refused(2, &["stable of tiny is 1.1.0", "--older"]);
    let _ = world.pack(["promote", "1.0.0", "stable", "--older"]).ok();
    let _ = node.install(["stable"]).ok();
    assert!(node.status()["withdrawn"].is_null());
}

#[test]
fn a_node_follows_when_every_key_is_rotated() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    for role in ["root", "targets", "snapshot", "timestamp", "releases", "channels", "branches"] {
        let _ = world.pack(["keys", "rotate", role, "--unencrypted"]).ok();
    }
    let _ = world.pack(["promote", "1.1.0", "stable"]).ok();
    let _ = node.install(["stable"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

/// The system calls of a program that are traced, one a line, with the names of open files.
fn calls(world: &World, program: &Command, traced: &str) -> Vec<String> {
    let log = world.path("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", &format!("trace={traced}"), "-o"]).arg(&log);
    strace.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let _ = Run::of(strace.current_dir(world.path("")));
    let text = std::fs::read_to_string(&log).expect("strace is installed");
    text.lines().map(str::to_owned).collect()
}

/// Whether some call comes before all that mention a path.
#[track_caller]
fn is_before(calls: &[String], call: &str, path: &Path) {
    let path = path.to_str().expect("text");
    let first = calls.iter().position(|line| line.contains(path));
    let first = first.unwrap_or_else(|| panic!("no {path} in {calls:#?}"));
    let is_good = |line: &String| line.contains(call) && line.ends_with("= 0");
    assert!(calls[..first].iter().any(is_good), "{path} before {call}: {calls:#?}");
}

/// Neither a core file nor another program of the same user gets at what they hold.
#[test]
fn programs_that_hold_keys_and_tokens_cannot_be_looked_into() {
    let world = World::new();
    let dumpable = "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)";
    let mut pack = world.packer();
    let seen = calls(&world, pack.args(["keys", "show"]), "prctl,openat");
    is_before(&seen, dumpable, &world.path("keys"));
    // With a store that is none it ends when it has read them.
    let tokens = world.path("tokens");
    std::fs::write(&tokens, "").expect("a scratch file");
    let mut server = world.command("repo-server");
    server.args(["--listen", "127.0.0.1:0", "--tokens"]).arg(&tokens);
    let seen = calls(&world, server.arg("--store").arg(world.path("nowhere")), "prctl,openat");
    is_before(&seen, dumpable, &tokens);
}

/// What is not on disk when `pack` says that it is made is lost with the power, and with it the repository.
#[test]
fn new_keys_are_on_disk_when_they_are_told_of() {
    let world = World::bare();
    let mut pack = world.packer();
    let new = pack.args(["keys", "new", "--unencrypted"]);
    let seen = calls(&world, new, "openat,fsync,fdatasync,write");
    let keys = world.path("keys");
    let place = |test: &dyn Fn(&str) -> bool| seen.iter().rposition(|line| test(line));
    let told = place(&|line| line.contains("write(1<")).expect("it tells");
    let folder = format!("{}>)", keys.display());
    let of_folder = place(&|line| line.contains("sync(") && line.contains(&folder));
    let of_folder = of_folder.unwrap_or_else(|| panic!("the folder is not synced: {seen:#?}"));
    let files = std::fs::read_dir(&keys).expect("it was made");
    let files = files.map(|file| file.expect("it is there").path());
    let pems: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|it| it == "pem")).collect();
    assert!(!pems.is_empty());
    for pem in pems {
        let name = format!("{}>)", pem.display());
        let synced = place(&|line| line.contains("sync(") && line.contains(&name));
        assert!(synced.is_some_and(|synced| synced < of_folder), "{name}: {seen:#?}");
    }
    assert!(of_folder < told, "{seen:#?}");
}
