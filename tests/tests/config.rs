//! Rendered configuration, from a release's template and a node's values to the service that reads it;
//! and its secrets, which are found nowhere else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cutover_tests::aftermath::holders;
use cutover_tests::world::{
    Ending, NodeDir, Run, Tree, World, assert_same, free_address, get, inventory, program,
};

/// What must be found nowhere.
const PASSWORD: &str = "correct-horse-battery";
const TOKEN: &str = "staple-of-tokens";

const INPUTS: &str = r#"
[config]
"etc/tiny.ini" = { template = "etc/tiny.ini.j2" }
"etc/plain.ini" = { template = "etc/plain.ini.j2" }
"etc/own.ini" = { from = "own.ini" }

[inputs.workers]
type = "integer"
default = 2
description = "processes that answer"

[inputs.hosts]
type = "list"

[inputs.password]
secret = true

[inputs.token]
secret = true
required = false
"#;

const TEMPLATE: &str = "\
[tiny {{ version }}]
workers = {{ workers }}
password = {{ password }}
{% for host in hosts %}
host = {{ host }}
{% endfor %}
{% if token %}
token = {{ token }}
{% endif %}
";

/// A tree whose releases render, with a first one.
fn tree(world: &World) -> Tree {
    let tree = world.tree("tiny");
    let toml = fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    let env = "env = { TINY_CONFIG = \"{prefix}/etc/tiny.ini\", ";
    tree.write("release.toml", &(toml.replace("env = { ", env) + INPUTS));
    fs::create_dir(tree.folder.join("etc")).unwrap();
    tree.write("etc/tiny.ini.j2", TEMPLATE);
    tree.write("etc/plain.ini.j2", "root = {{ root }}\nprefix = {{ prefix }}\n");
    release(world, &tree, "1.0.0");
    tree
}

fn release(world: &World, tree: &Tree, version: &str) {
    tree.tag(version);
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
}

fn give_all(world: &World, node: &NodeDir<'_>) {
    fs::write(world.path("password"), format!("{PASSWORD}\n")).unwrap();
    fs::write(world.path("token"), format!("#!/bin/sh\necho {TOKEN}\n")).unwrap();
    let password = world.path("password");
    let token = world.path("token");
    node.give(&format!(
        "hosts = ['a', 'b']\npassword = {{ file = '{}' }}\n\
         token = {{ command = ['sh', '{}'], timeout = '60s' }}\n",
        password.display(),
        token.display()
    ));
}

/// Every file of the node that holds a secret, but those of `config/`.
fn leaks(node: &NodeDir<'_>) -> Vec<PathBuf> {
    let mut found = holders(&node.root, &[PASSWORD, TOKEN]);
    found.retain(|path| !path.starts_with(node.root.join("config")));
    found
}

/// Runs `install` while others look at the arguments of all processes.
fn watched(node: &NodeDir<'_>, arguments: &[&str]) -> Run {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0;
            while !ended.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap() {
                    let line = process.unwrap().path().join("cmdline");
                    let line = fs::read(line).unwrap_or_default();
                    let line = String::from_utf8_lossy(&line).into_owned();
                    assert!(!line.contains(PASSWORD) && !line.contains(TOKEN), "{line}");
                }
                looks += 1;
            }
            looks
        });
        let ending = Ending(&ended);
        let run = node.install(arguments.iter().copied());
        drop(ending);
        assert!(watcher.join().unwrap() > 0);
        for words in [&run.stdout, &run.stderr] {
            assert!(!words.contains(PASSWORD) && !words.contains(TOKEN), "{run}");
        }
        run
    })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn rendered(node: &NodeDir<'_>, version: &str) -> String {
    fs::read_to_string(node.root.join("releases").join(version).join("etc/tiny.ini")).unwrap()
}

#[test]
fn what_is_missing_is_said_before_anything_is_fetched() {
    let world = World::new();
    let _tree = tree(&world);
    let node = world.node(None);
    let before = node.inventory();
    node.install(["1.0.0"]).refused(
        2,
        &[
            "requires: node.toml gives no `hosts` in [inputs]: a list of texts",
            "node.toml gives no `password` in [inputs]: a secret, as",
            "nothing was fetched",
            "install config show",
        ],
    );
    node.give(
        "hosts = 'a'\npassword = { file = 'nowhere' }\ntoken = { command = ['false'] }\nworker = 1",
    );
    node.install(["1.0.0"]).refused(
        2,
        &[
            "gives `hosts` in [inputs] as the text \"a\", where a list of texts is wanted",
            "the secret `password`: cannot read",
            "the secret `token`: `false` failed (exit status: 1)",
            "gives `worker` in [inputs], which the release does not ask for; perhaps `workers` is meant",
        ],
    );
    node.give(&format!("hosts = []\npassword = '{PASSWORD}'"));
    let run = watched(&node, &["1.0.0"]);
    run.refused(2, &["gives the secret `password` in [inputs] itself"]);
    let without_node_toml = |mut lines: Vec<String>| {
        lines.retain(|line| !line.starts_with("node.toml"));
        lines
    };
    assert_same(&without_node_toml(before), &without_node_toml(node.inventory()));
}

#[test]
fn a_service_reads_what_was_rendered_and_nobody_else_does() {
    let world = World::new();
    let tree = tree(&world);
    let node = world.node(Some(free_address()));
    let gate = node.gate.unwrap();
    give_all(&world, &node);
    let _running = node.start_gate();
    let _ = watched(&node, &["1.0.0", "--json"]).ok();
    let text = format!(
        "[tiny 1.0.0]\nworkers = 2\npassword = {PASSWORD}\nhost = a\nhost = b\ntoken = {TOKEN}\n"
    );
    assert_eq!(rendered(&node, "1.0.0"), text);
    assert_eq!(get(gate, "/config"), Some((200, text)));
    let plain = fs::read_to_string(node.root.join("current/etc/plain.ini")).unwrap();
    let root = node.root.display();
    assert_eq!(plain, format!("root = {root}\nprefix = {root}/releases/1.0.0\n"));
    let modes = inventory(&node.root.join("config/1.0.0"), &[]);
    for mode in [
        "0/files/etc/plain.ini f 644",
        "0/files/etc/tiny.ini f 600",
        "0/record.json f 600",
        "current l 777 1 0",
    ] {
        assert!(modes.iter().any(|line| line.starts_with(mode)), "{mode} {modes:#?}");
    }

    // Another release takes another password, and going back takes it along.
    tree.replace("etc/tiny.ini.j2", "workers = ", "threads = ");
    release(&world, &tree, "1.1.0");
    let other = "other-horse-battery";
    fs::write(world.path("password"), format!("{other}\n")).unwrap();
    let _ = watched(&node, &["stable"]).ok();
    assert!(get(gate, "/config").unwrap().1.contains(&format!("threads = 2\npassword = {other}")));
    assert!(rendered(&node, "1.0.0").contains(PASSWORD));
    let run = watched(&node, &["verify", "1.0.0"]).ok();
    assert!(run.stderr.contains("1.0.0: etc/tiny.ini would be rendered otherwise now"), "{run}");
    let _ = watched(&node, &["rollback"]).ok();
    assert!(get(gate, "/config").unwrap().1.contains(&format!("workers = 2\npassword = {other}")));
    assert!(
        !node.root.join("config/1.0.0/0").exists() && node.root.join("config/1.0.0/1").exists()
    );
    let run = watched(&node, &["verify", "--all"]).ok();
    assert!(!run.stderr.contains("otherwise"), "{run}");

    let leaks = leaks(&node);
    assert!(leaks.is_empty(), "{leaks:#?}");
    let log = fs::read_to_string(node.root.with_extension("gate.log")).unwrap();
    assert!(!log.contains(PASSWORD) && !log.contains(other) && !log.contains(TOKEN), "{log}");
}

/// Else a service that is another user's would not find its way to its own files.
#[test]
fn whoever_installs_may_have_a_strict_umask() {
    let world = World::new();
    let tree = tree(&world);
    tree.replace("release.toml", "\"etc/own.ini\"", "\"own/deep/own.ini\"");
    release(&world, &tree, "1.1.0");
    let node = world.node(None);
    give_all(&world, &node);
    let mut strict = std::process::Command::new("sh");
    strict.args(["-c", "umask 077 && exec \"$0\" 1.1.0"]).arg(program("install"));
    let _ = Run::of(strict.env("CUTOVER_ROOT", &node.root)).ok();
    for folder in [
        "releases/1.1.0",
        "releases/1.1.0/etc",
        "releases/1.1.0/own",
        "releases/1.1.0/own/deep",
        "config/1.1.0",
        "config/1.1.0/current",
        "config/1.1.0/current/files",
        "config/1.1.0/current/files/etc",
    ] {
        assert_eq!(mode(&node.root.join(folder)), 0o755, "{folder}");
    }
    let file = |name: &str| mode(&node.root.join("config/1.1.0/current/files/etc").join(name));
    assert_eq!((file("plain.ini"), file("tiny.ini")), (0o644, 0o600));
}

#[test]
fn what_was_rendered_is_audited_and_goes_with_its_release() {
    let world = World::new();
    let tree = tree(&world);
    let node = world.node(None);
    give_all(&world, &node);
    let _ = node.install(["1.0.0"]).ok();
    let file = node.root.join("config/1.0.0/current/files/etc/plain.ini");
    let text = fs::read(&file).unwrap();
    fs::write(&file, "root = elsewhere\n").unwrap();
    node.install(["verify"]).refused(3, &["etc/plain.ini has other contents than were rendered"]);
    fs::write(&file, text).unwrap();
    let _ = node.install(["verify"]).ok();
    let link = node.root.join("releases/1.0.0/etc/own.ini");
    let own = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();
    node.install(["verify"]).refused(3, &["etc/own.ini is missing"]);
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    node.install(["verify"]).refused(3, &["etc/own.ini links to \"/etc/passwd\" instead of"]);
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    node.install(["verify"]).refused(3, &["etc/own.ini is a folder, should be a link"]);
    fs::remove_dir(&link).unwrap();
    std::os::unix::fs::symlink(own, &link).unwrap();

    // A service that runs in a group reads its secrets through it.
    let file_of = |name: &str| node.root.join("config/1.0.0/current/files").join(name);
    let group = Run::of(std::process::Command::new("id").arg("-gn")).ok().stdout;
    node.add(&format!("[service]\ngroup = \"{}\"\n", group.trim()));
    assert_eq!(mode(&file_of("etc/tiny.ini")), 0o600);
    let run = node.install(["verify"]);
    assert!(run.stderr.contains("etc/tiny.ini would be rendered otherwise now"), "{run}");

    // An edited file is rendered anew by the next install of its release.
    fs::write(&file, "root = elsewhere\n").unwrap();
    release(&world, &tree, "1.1.0");
    let _ = node.install(["1.1.0"]).ok();
    let _ = node.install(["rollback"]).ok();
    assert_eq!(mode(&file_of("etc/tiny.ini")), 0o640);
    assert_eq!(mode(&file_of("etc/plain.ini")), 0o644);
    let again = node.root.join("current/etc/plain.ini");
    assert!(!fs::read_to_string(again).unwrap().contains("elsewhere"));

    node.change("keep = 3", "keep = 0");
    for version in ["1.2.0", "1.3.0"] {
        release(&world, &tree, version);
        let _ = node.install([version]).ok();
    }
    let kept =
        fs::read_dir(node.root.join("config")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut kept: Vec<String> = kept.map(|name| name.into_string().unwrap()).collect();
    kept.sort();
    assert_eq!(kept, ["1.2.0", "1.3.0"]);
}

#[test]
fn what_would_change_is_shown_without_secrets() {
    let world = World::new();
    let tree = tree(&world);
    let node = world.node(None);
    let run = watched(&node, &["config", "show", "1.0.0"]).ok();
    assert!(run.stderr.contains("node.toml gives no `hosts` in [inputs]"), "{run}");
    assert!(run.stdout.contains("processes that answer"), "{run}");
    let run = watched(&node, &["config", "diff", "1.0.0"]).ok();
    assert!(run.stderr.contains("node.toml gives no `password`"), "{run}");
    assert!(run.stdout.contains("\n+password = <missing password>\n"), "{run}");
    give_all(&world, &node);
    let shown = watched(&node, &["config", "show", "1.0.0", "--json"]).ok().json();
    let input = |name: &str| {
        let inputs = shown["inputs"].as_array().unwrap();
        inputs.iter().find(|input| input["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&input("workers")["value"], &input("workers")["from"]),
        (&2.into(), &"default".into())
    );
    assert_eq!(
        (&input("password")["value"], &input("password")["from"]),
        (&().into(), &"node".into())
    );
    let _ = node.install(["1.0.0"]).ok();
    let run = watched(&node, &["config", "diff"]).ok();
    assert_eq!(run.stdout, "nothing changes from 1.0.0 to 1.0.0 now\n");

    // Of a release that is not here only the templates are fetched.
    tree.replace("etc/tiny.ini.j2", "workers = ", "threads = ");
    tree.replace("release.toml", "\"own.ini\"", "\"other.ini\"");
    tree.replace(
        "release.toml",
        "[inputs.token]",
        "[inputs.level]\ndefault = \"info\"\n[inputs.token]",
    );
    release(&world, &tree, "1.1.0");
    let before = node.inventory();
    let run = watched(&node, &["config", "diff", "stable"]).ok();
    let expected = "\
--- 1.0.0/etc/plain.ini
+++ 1.1.0/etc/plain.ini
@@ -1,2 +1,2 @@
";
    assert!(run.stdout.starts_with(expected), "{run}");
    let expected = "\
--- 1.0.0/etc/tiny.ini
+++ 1.1.0/etc/tiny.ini
@@ -1,5 +1,5 @@
-[tiny 1.0.0]
-workers = 2
+[tiny 1.1.0]
+threads = 2
 password = <secret password>
 host = a
 host = b
link etc/own.ini changes: from own.ini to other.ini
input level is added
";
    assert!(run.stdout.ends_with(expected), "{run}");
    let json = watched(&node, &["config", "diff", "1.1.0", "--json"]).ok().json();
    assert_eq!(json["files"][1]["change"], "changed");
    assert_eq!(json["inputs"]["added"], serde_json::json!(["level"]));
    assert_same(&before, &node.inventory());

    // The node's own values may change as well.
    node.change("hosts = ['a', 'b']", "hosts = ['c']");
    let run = watched(&node, &["config", "diff"]).ok();
    assert!(run.stdout.contains("-host = a\n-host = b\n+host = c\n"), "{run}");
    let run = watched(&node, &["1.0.0"]).ok();
    assert!(run.stderr.contains("etc/tiny.ini would be rendered otherwise now"), "{run}");
    node.install(["config", "diff", "9.9.9"]).refused(4, &["no release 9.9.9"]);
}

#[test]
fn a_template_that_no_node_could_render_is_not_released() {
    let world = World::new();
    let tree = tree(&world);
    for (version, template, words) in [
        (
            "1.1.0",
            "a\n{{ wrokers }}",
            "etc/tiny.ini.j2 line 2: `wrokers` is no input of the release",
        ),
        ("1.2.0", "{% if %}", "etc/tiny.ini.j2 line 1: syntax error"),
        ("1.3.0", "{% include '/etc/passwd' %}", "etc/tiny.ini.j2 line 1: syntax error"),
    ] {
        tree.write("etc/tiny.ini.j2", template);
        tree.tag(version);
        let run = world.pack(["release", "--source", "tree"]);
        run.refused(2, &[words, "nothing was released"]);
    }
    tree.write("etc/tiny.ini.j2", "{{ workers }}");
    tree.tag("1.4.0");
    let run = world.pack(["release", "--source", "tree"]).ok();
    assert!(run.stderr.contains("no template takes the input `hosts` of release.toml"), "{run}");
    fs::remove_file(tree.folder.join("etc/tiny.ini.j2")).unwrap();
    tree.tag("1.5.0");
    let run = world.pack(["release", "--source", "tree"]);
    run.refused(
        2,
        &["the template `etc/tiny.ini.j2` of the [config] file `etc/tiny.ini` is no file"],
    );
}
