//! What is made is as open as documented, whatever the umask of whoever makes it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use cutover_tests::wheel::{VENDOR, add_wheel, folder_of_uv};
use cutover_tests::world::{NodeDir, Run, Running, World, free_address, get, wait_until};

/// `install` under a umask.
fn under(mask: &str, node: &NodeDir<'_>, arguments: &[&str]) -> Command {
    // The builder alone: beside it may lie an interpreter that is not for everybody.
    let tools = node.root.with_file_name("tools");
    std::fs::create_dir_all(&tools).unwrap();
    let _ = symlink(folder_of_uv().join("uv"), tools.join("uv"));
    let command = node.command();
    let mut shell = masked(mask, &command);
    shell.args(arguments);
    let path = format!("{}:/usr/bin:/bin", tools.display());
    shell
        .env("PATH", path)
        .env("CUTOVER_ROOT", &node.root)
        .current_dir(node.root.parent().unwrap());
    shell
}

/// The same program with the same variables under a umask.
fn masked(mask: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask $0 && exec \"$@\"", mask]).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

/// The paths below the root that `find` finds so.
fn found(node: &NodeDir<'_>, below: &str, conditions: &[&str]) -> String {
    let mut find = Command::new("find");
    Run::of(find.arg(node.root.join(below)).args(conditions)).ok().stdout
}

#[test]
fn the_main_job_under_any_umask() {
    let world = World::new();
    // The service's user has to get there.
    std::fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    let tree = world.tree("tiny");
    let _ = add_wheel(&tree);
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    // The service runs by the environment's own interpreter, and needs the package.
    let toml = toml.replace(
        "command = [\"python3\"",
        "command = [\"env/bin/python\", \"-c\", \
        \"import demo, os, sys; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\"",
    );
    tree.write("release.toml", &format!("{toml}\n{VENDOR}"));
    for version in ["1.0.0", "1.1.0"] {
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree"]).ok();
    }
    for mask in ["000", "027", "077"] {
        let node = world.unmade_node(world.path(mask), Some(free_address()));
        let address = node.gate.unwrap().to_string();
        let repository = world.repository();
        let trust = world.root_json();
        let init = ["init", "--gate", &address, "--repo", repository.to_str().unwrap(), "--trust"];
        let _ = Run::of(under(mask, &node, &init).arg(&trust)).ok();
        node.add("[service]\nuser = \"nobody\"\ngroup = \"nogroup\"");
        let _gate = Running::start(&mut under(mask, &node, &["gate"]));
        wait_until("the gate answers", || get(node.gate.unwrap(), "/.cutover/alive").is_some());
        for version in ["1.0.0", "1.1.0"] {
            let _ = Run::of(&mut under(mask, &node, &[version])).ok();
            let (status, body) = get(node.gate.unwrap(), "/").unwrap();
            assert!(status == 200 && body.contains(version), "{mask}: {status} {body}");
        }
        // What a builder keeps is its own matter.
        let others = [
            "-path",
            "*/state/cache",
            "-prune",
            "-o",
            "!",
            "-type",
            "l",
            "-perm",
            "/022",
            "-print",
        ];
        let written = found(&node, "", &others);
        assert_eq!(written, "", "{mask}: others may write to these");
        for open in ["releases", "config", "state -path */cache -prune -o", "run"] {
            let (open, except) = open.split_once(' ').unwrap_or((open, ""));
            let mut conditions: Vec<&str> = except.split_whitespace().collect();
            conditions.extend(["-type", "d", "!", "-perm", "-005", "-print"]);
            let shut = found(&node, open, &conditions);
            assert_eq!(shut, "", "{mask}: others cannot look into these");
        }
        let shut = found(&node, "releases", &["!", "-type", "l", "!", "-perm", "-004"]);
        assert_eq!(shut, "", "{mask}: the service cannot read these");
    }
}

/// Web servers read what is published; nobody else may read keys, and publishers may be a group.
#[test]
fn what_is_published_under_any_umask() {
    let odd = |folder: &Path, conditions: &[&str]| {
        Run::of(Command::new("find").arg(folder).args(conditions)).ok().stdout
    };
    for (mask, base) in [("077", None), ("000", None), ("027", Some(0o2775))] {
        let world = World::bare();
        let tree = world.tree("tiny");
        tree.tag("1.0.0");
        let repository = world.repository();
        if let Some(base) = base {
            std::fs::create_dir(&repository).unwrap();
            std::fs::set_permissions(&repository, Permissions::from_mode(base)).unwrap();
        }
        for arguments in [
            &["keys", "new", "--unencrypted"][..],
            &["repo", "init"],
            &["release", "--source", "tree", "--channel", "stable"],
            &["refresh"],
        ] {
            let _ = Run::of(&mut masked(mask, world.packer().args(arguments))).ok();
        }
        let folders = match base {
            Some(_) => "2775",
            None => "755",
        };
        assert_eq!(odd(&repository, &["-type", "d", "!", "-perm", folders]), "", "{mask}");
        let files = ["-type", "f", "!", "-name", "lock", "!", "-perm", "644"];
        assert_eq!(odd(&repository, &files), "", "{mask}");
        assert_eq!(odd(&repository, &["-perm", "/002"]), "", "{mask}");
        let keys = world.path("keys");
        assert_eq!(odd(&keys, &["-name", "*.pem", "!", "-perm", "600"]), "", "{mask}");
        assert_eq!(odd(&keys, &["-perm", "/022"]), "", "{mask}");
    }
}
