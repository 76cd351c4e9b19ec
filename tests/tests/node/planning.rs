//! A plan finds what an install would refuse, and `status` tells whoever asks what may be told.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use cutover_tests::world::{NodeDir, Run, Tree, World, assert_same, free_address, program};

/// An install is refused, and its plan with the same words and exit status.
#[track_caller]
fn refused_both(node: &NodeDir<'_>, version: &str, status: i32, words: &str) {
    let before = node.inventory();
    for command in [&["plan", version][..], &[version, "--dry-run"], &[version]] {
        node.install(command.iter().copied()).refused(status, &[words]);
    }
    assert_same(&before, &node.inventory());
}

fn release(world: &World, tree: &Tree, version: &str) {
    tree.tag(version);
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
}

#[test]
fn a_plan_is_refused_as_its_install_would_be() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let plain = fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let more = |text: &str| tree.write("release.toml", &format!("{plain}\n{text}"));
    tree.write("a.j2", "{{ token }}");
    let secret = "[config]\n'a.ini' = { template = 'a.j2' }\n[inputs.token]\nsecret = true\n";

    more(secret);
    release(&world, &tree, "1.1.0");
    refused_both(&node, "1.1.0", 2, "node.toml gives no `token`");
    node.give("token = { file = 'nowhere' }");
    refused_both(&node, "1.1.0", 2, "the secret `token`");
    node.give("");

    more("[config]\n'a.ini' = { from = 'a.ini', required = true }\n");
    release(&world, &tree, "1.2.0");
    refused_both(&node, "1.2.0", 2, "shared/a.ini");
    more("");
    tree.replace("release.toml", "commands = [\"python3\"]", "commands = [\"no-such-program\"]");
    release(&world, &tree, "1.3.0");
    refused_both(&node, "1.3.0", 2, "no-such-program");

    let _ = world.pack(["withdraw", "1.2.0", "--reason", "no good"]).ok();
    // What was seen is kept.
    node.install(["1.2.0"]).refused(3, &["was withdrawn"]);
    refused_both(&node, "1.2.0", 3, "was withdrawn");
    more("[schema]\nversion = 43\naccepts = '>=42'\n");
    release(&world, &tree, "1.4.0");
    node.add("[schema]\ncommand = 'echo 41'");
    refused_both(&node, "1.4.0", 5, "the database is at schema 41");
    refused_both(&node, "9.0.0", 4, "tiny has no release 9.0.0");
}

#[test]
fn status_tells_another_user_what_it_can() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    let copy = world.path("install");
    fs::copy(program("install"), &copy).unwrap();
    fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    let another = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        Run::of(command.args(arguments).env("CUTOVER_ROOT", &node.root).current_dir("/"))
    };
    let told = another(&["status"]).ok();
    assert!(told.stdout.contains("current     1.0.0"), "{told}");
    assert!(told.stdout.contains("it cannot be asked"), "{told}");
    assert!(told.stderr.contains("Permission denied") && told.stderr.contains("ask as"), "{told}");
    let json = another(&["status", "--json"]).ok().json();
    assert_eq!((&json["current"], &json["gate"]), (&"1.0.0".into(), &serde_json::Value::Null));
    assert_eq!(json["unseen"].as_array().map(Vec::len), Some(1), "{json}");
}

/// Where names are kept apart, as here, a plan of them is as any other, and leaves nothing behind.
#[test]
fn names_that_differ_by_case_are_tried_out() {
    let world = World::new();
    let tree = world.tree("tiny");
    tree.write("NOTES", "one");
    tree.write("notes", "two");
    release(&world, &tree, "1.0.0");
    let node = world.node(None);
    let before = node.inventory();
    let _ = node.install(["plan", "1.0.0"]).ok();
    assert_same(&before, &node.inventory());
    let _ = node.install(["1.0.0"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
    assert_eq!(fs::read_dir(node.root.join("releases")).unwrap().count(), 1);
}
