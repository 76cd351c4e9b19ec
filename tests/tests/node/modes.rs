//! What is made is as open as documented, whatever the umask of whoever makes it.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use cutover_tests::wheel::{VENDOR, add_wheel, folder_of_uv};
use cutover_tests::world::{NodeDir, Run, Running, World, free_address, get, wait_until};

/// `install` under a umask.
fn under(mask: &str, node: &NodeDir<'_>, arguments: &[&str]) -> Command {
    // The builder alone: beside it may lie an interpreter that is not for everybody.
    let tools = node.root.with_file_name("tools");
    std::fs::create_dir_all(&tools).unwrap();
    let _ = symlink(folder_of_uv().join("uv"), tools.join("uv"));
    let mut command = node.command();
    let program = command.get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask $0 && exec \"$@\"", mask]).arg(program).args(arguments);
    let path = format!("{}:/usr/bin:/bin", tools.display());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    command.env_clear();
    shell
        .env("PATH", path)
        .env("CUTOVER_ROOT", &node.root)
        .current_dir(node.root.parent().unwrap());
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
