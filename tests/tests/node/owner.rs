//! Whose a root may be.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use cutover_tests::world::{NodeDir, Run, World, free_address, program};

const NOBODY: u32 = 65534;

/// A node whose settings run a command that leaves a trace.
fn telling(world: &World) -> NodeDir<'_> {
    let tree = world.tree("tiny");
    tree.configured();
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(None);
    let ran = world.path("ran");
    node.give(&format!(
        "token = {{ command = ['sh', '-c', 'echo x >> {}; echo y'] }}",
        ran.display()
    ));
    let _ = node.install(["1.0.0"]).ok();
    fs::remove_file(ran).unwrap();
    node
}

#[test]
fn nothing_of_another_users_root_is_run() {
    let world = World::new();
    let node = telling(&world);
    let settings = node.root.join("node.toml");
    let words = ["belongs to nobody, who is neither root nor you", "/etc/cutover/safe-roots"];
    for theirs in [&node.root, &settings] {
        chown(theirs, Some(NOBODY), None).unwrap();
        for command in ["verify", "status", "gate", "resume"] {
            node.install([command]).refused(3, &words);
        }
        node.install(["explain", "app.py"]).refused(3, &words);
        // Whoever became root by sudo may have made it.
        let _ = Run::of(node.command().arg("verify").env("SUDO_UID", NOBODY.to_string())).ok();
        fs::remove_file(world.path("ran")).unwrap();
        chown(theirs, Some(0), None).unwrap();
    }
    for open in [&node.root, &settings] {
        let mode = open.metadata().unwrap().permissions().mode();
        fs::set_permissions(open, fs::Permissions::from_mode(mode | 0o002)).unwrap();
        node.install(["verify"]).refused(3, &["can be written to by everybody"]);
        fs::set_permissions(open, fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(!world.path("ran").exists(), "something was run");
    let _ = node.install(["verify"]).ok();
    assert!(world.path("ran").exists());
    // Nor is one made in a folder of theirs.
    let other = world.unmade_node(world.path("other"), None);
    fs::create_dir(&other.root).unwrap();
    chown(&other.root, Some(NOBODY), None).unwrap();
    Run::of(&mut other.init()).refused(3, &words);
    assert_eq!(fs::read_dir(&other.root).unwrap().count(), 0);
}

/// In a mount namespace of its own, where `/etc` is one of this test's.
#[test]
fn root_may_except_a_root() {
    let world = World::new();
    let node = telling(&world);
    chown(&node.root, Some(NOBODY), None).unwrap();
    let etc = world.path("etc");
    fs::create_dir_all(etc.join("cutover")).unwrap();
    for file in ["passwd", "group"] {
        fs::copy(format!("/etc/{file}"), etc.join(file)).unwrap();
    }
    let list = etc.join("cutover/safe-roots");
    let verify = || {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$1\" /etc && exec \"$2\" verify --root \"$3\"";
        command.args(["--mount", "sh", "-c", script, "sh"]);
        Run::of(command.arg(&etc).arg(program("install")).arg(&node.root))
    };
    verify().refused(3, &["belongs to nobody"]);
    fs::write(&list, format!("# theirs\n{}\n", node.root.display())).unwrap();
    let _ = verify().ok();
    fs::set_permissions(&list, fs::Permissions::from_mode(0o666)).unwrap();
    verify().refused(3, &["belongs to nobody"]);
}

/// Commands that are suggested can be pasted into a shell.
#[test]
fn a_root_that_a_shell_would_take_for_two_words() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.unmade_node(world.path("my node"), Some(free_address()));
    let root = format!("--root '{}'", node.root.display());
    node.install(["status"]).refused(2, &[&format!("`install init {root} --repo URL")]);
    let mut init = node.command();
    init.args(["init", "--gate", &node.gate.unwrap().to_string(), "--repo"]);
    let run = Run::of(init.arg(world.repository()).arg("--trust").arg(world.root_json())).ok();
    for command in ["install gate", "install VERSION"] {
        assert!(run.stdout.contains(&format!("\n  {command} {root}")), "{run}");
    }
    // A user without a name.
    chown(&node.root, Some(54_321), None).unwrap();
    node.install(["status"]).refused(3, &["`sudo -u '#54321'`"]);
}
