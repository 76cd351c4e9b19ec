//! A Python environment on a node: what it shares, and what it runs by.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;

use cutover_tests::wheel::{VENDOR, add_hashed_wheel, folder_of_uv};
use cutover_tests::world::{NodeDir, Run, World};

const PACKAGE: &str = "demo/__init__.py";

/// `install` with a builder that keeps a cache.
fn install(node: &NodeDir<'_>, arguments: &[&str]) -> Run {
    let path = format!("{}:/usr/bin:/bin", folder_of_uv().display());
    Run::of(node.command().args(arguments).env("PATH", path))
}

fn with_environment(world: &World) -> NodeDir<'_> {
    let tree = world.tree("tiny");
    add_hashed_wheel(&tree);
    let toml = fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    tree.write("release.toml", &format!("{toml}\n{VENDOR}"));
    for version in ["1.0.0", "1.1.0"] {
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree"]).ok();
    }
    let node = world.node(None);
    let _ = install(&node, &["1.0.0"]).ok();
    node
}

fn site(node: &NodeDir<'_>, version: &str) -> PathBuf {
    let lib = node.root.join("releases").join(version).join("env/lib");
    let python = fs::read_dir(lib).unwrap().next().unwrap().unwrap().path();
    python.join("site-packages")
}

#[test]
fn an_environment_shares_nothing_with_a_cache_or_another() {
    let world = World::new();
    let node = with_environment(&world);
    let module = site(&node, "1.0.0").join(PACKAGE);
    assert_eq!(module.metadata().unwrap().nlink(), 1);
    fs::write(&module, "def main():\n    print('edited')\n").unwrap();
    let _ = install(&node, &["1.1.0"]).ok();
    let _ = node.install(["verify"]).ok();
    let text = fs::read_to_string(site(&node, "1.1.0").join(PACKAGE)).unwrap();
    assert!(!text.contains("edited"), "{text}");
    node.install(["verify", "1.0.0"]).refused(3, &[PACKAGE]);
}

/// What a builder keeps may be damaged, and so may what it makes of it: here what it has just installed is
/// edited behind its back, while there is the file `spoil`, or `spoil-always`.
#[test]
fn what_a_damaged_cache_gives_is_not_sealed() {
    let world = World::new();
    let node = with_environment(&world);
    let (once, always) = (world.path("spoil"), world.path("spoil-always"));
    let tools = world.path("tools");
    fs::create_dir(&tools).unwrap();
    let script = format!(
        "#!/bin/sh\n'{}' \"$@\" || exit\nif [ \"$1\" = pip ] && {{ rm '{}' || [ -e '{}' ]; }}\nthen \
         for it in env/lib/*/site-packages/{PACKAGE}; do echo '# edited' >>\"$it\"; done\nfi\n",
        folder_of_uv().join("uv").display(),
        once.display(),
        always.display()
    );
    fs::write(tools.join("uv"), script).unwrap();
    fs::set_permissions(tools.join("uv"), fs::Permissions::from_mode(0o755)).unwrap();
    let install = |version: &str| {
        let path = format!("{}:/usr/bin:/bin", tools.display());
        Run::of(node.command().arg(version).env("PATH", path))
    };
    fs::write(&always, "").unwrap();
    let words = ["the environment is not what its packages hold", PACKAGE, "nothing was switched"];
    install("1.1.0").refused(3, &words);
    fs::remove_file(&always).unwrap();
    fs::write(&once, "").unwrap();
    let run = install("1.1.0").ok();
    assert!(run.stderr.contains("once more without its cache"), "{run}");
    let text = fs::read_to_string(site(&node, "1.1.0").join(PACKAGE)).unwrap();
    assert!(!text.contains("edited"), "{text}");
    let _ = node.install(["verify"]).ok();
}

#[test]
fn an_environment_without_its_interpreter_is_said_to_be_one() {
    let world = World::new();
    let node = with_environment(&world);
    let _ = install(&node, &["1.1.0"]).ok();
    let python = node.root.join("releases/1.0.0/env/bin/python");
    let interpreter = fs::canonicalize(&python).unwrap();
    // In a mount namespace of its own the system has lost it.
    let without = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        let script = "mkdir -p \"$1\" && mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(world.path("empty"));
        command.arg(interpreter.parent().unwrap());
        let install = node.command();
        command.arg(install.get_program()).args(arguments).arg("--root").arg(&node.root);
        Run::of(&mut command)
    };
    let words = ["env/bin/python leads to", "does not run"];
    without(&["rollback"]).refused(3, &words);
    without(&["verify"]).refused(3, &words);
    let status = without(&["status"]).ok();
    assert!(status.stderr.contains("1.1.0 is current here and damaged"), "{status}");
    assert!(status.stdout.contains("DAMAGED"), "{status}");
    let explained = without(&["explain", "env/bin/python"]).ok();
    assert!(explained.stderr.contains("does not run"), "{explained}");
}
