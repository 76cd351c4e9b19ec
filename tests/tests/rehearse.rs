//! `install rehearse`: an install aside, of which nothing stays.

use std::path::Path;
use std::process::Command;

use cutover_tests::wheel::{VENDOR, add_wheel};
use cutover_tests::world::{
    NodeDir, Run, Running, Tree, World, assert_same, free_address, get, inventory, wait_until,
};
use serde_json::Value;

const ENV: &str = "env = { TINY_VERSION = \"{version}\" }";

/// 1.0.0 as it is, and 1.1.0 after `change`, both in the repository and in `stable`.
fn release_both(world: &World, change: impl FnOnce(&Tree)) {
    let tree = world.tree("tiny");
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    change(&tree);
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
}

/// More at the end of `release.toml`.
fn add(tree: &Tree, more: &str) {
    let plain = std::fs::read_to_string(tree.folder.join("release.toml")).expect("it is there");
    tree.write("release.toml", &format!("{plain}\n{more}"));
}

/// A node that serves 1.0.0.
fn serving(world: &World) -> (NodeDir<'_>, Running) {
    let node = world.node(Some(free_address()));
    let gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    (node, gate)
}

/// Everything below the root but trusted metadata, the lock, the contents that an install would fetch, and
/// the builders' cache.
fn everything(node: &NodeDir<'_>) -> Vec<String> {
    inventory(&node.root, &["state/trust", "state/lock", "releases/1.1.0", "state/cache"])
}

/// Command lines of processes of a rehearsal on the node.
fn rehearsing(node: &NodeDir<'_>) -> Vec<String> {
    let place = node.root.join("state/rehearsal").display().to_string();
    let listed = Run::of(Command::new("ps").args(["-eo", "args", "--no-headers", "-ww"])).ok();
    listed.stdout.lines().filter(|line| line.contains(&place)).map(str::to_owned).collect()
}

/// What the gate's service says of itself: its version and its process.
fn who(node: &NodeDir<'_>) -> Value {
    let (status, body) = get(node.gate.expect("it has a gate"), "/").expect("the gate answers");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn names<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    let all = list.as_array().expect("a list").iter();
    all.map(|one| one[key].as_str().expect("a text")).collect()
}

#[test]
fn a_good_release() {
    let world = World::new();
    release_both(&world, |tree| {
        add(
            tree,
            "[stage.migrate]\nbefore = 'start'\nrun = 'echo migrated > {root}/shared/log'\n\
             [[check]]\nstage = 'unpack'\ncommand = 'test -f {prefix}/app.py'\n\
             [[check]]\nstage = 'health'\nhttp = { path = '/', contains = '\"1.1.0\"' }\n\
             [[check]]\nstage = 'health'\ntcp = '{listen}'\n\
             [[check]]\nstage = 'seal'\nhttp = { path = '/' }\n\
             [[check]]\nstage = 'open'\nhttp = { path = '/', contains = 'never asked' }\n",
        );
    });
    let (node, _gate) = serving(&world);
    std::fs::create_dir(node.root.join("data")).unwrap();
    let (before, served) = (everything(&node), who(&node));

    let told = node.install(["rehearse", "stable", "--json"]).ok().json();
    assert_same(&before, &everything(&node));
    assert_eq!(who(&node), served);
    assert_eq!(rehearsing(&node), [""; 0]);
    assert_eq!(
        names(&told["stages"], "stage"),
        ["requires", "fetch", "verify", "unpack", "seal", "start", "health"]
    );
    assert_eq!(names(&told["checks"], "stage"), ["unpack", "health", "health"]);
    assert_eq!(names(&told["left_out"], "stage"), ["seal", "migrate", "open"]);
    assert_eq!((&told["version"], &told["changeover"]), (&"1.1.0".into(), &"blue-green".into()));
    let number = |value: &Value| value.as_f64().unwrap();
    let ready = number(&told["service"]["ready"]);
    assert!(ready > 0.0 && number(&told["service"]["memory"]) > 1e6, "{told}");
    for part in ["files", "free"] {
        assert!(number(&told["disk"][part]) > 0.0, "{told}");
    }
    let dark = &told["dark"];
    // 1.0.0 was never stopped here: its `drain` is the most that it can take.
    assert_eq!(
        (&dark["stop"]["from"], number(&dark["stop"]["seconds"])),
        (&"drain-limit".into(), 5.0)
    );
    assert_eq!(number(&dark["blue-green"]), 0.0);
    assert!((number(&dark["hold"]) - (5.0 + ready)).abs() < 0.001, "{dark}");

    // What was fetched is of use.
    let plan = node.install(["plan", "1.1.0", "--json"]).ok().json();
    assert_eq!((&plan["fetch"], &plan["contents"]["bundle"]["files"]), (&0.into(), &0.into()));
    assert!(number(&plan["contents"]["kept"]["files"]) > 0.0, "{plan}");
    let receipt = node.install(["1.1.0", "--swap", "hold", "--json"]);
    // 1.1.0 has a check that never holds, so the node is back on 1.0.0.
    let _ = receipt.refused(5, &["never asked"]);
    let log = node.install(["log", "--last", "--json"]).ok().stdout;
    assert!(log.contains("\"fetched\": 0") || log.contains("\"fetched\":0"), "{log}");
}

#[test]
fn figures_come_from_receipts_and_tables_are_for_people() {
    let world = World::new();
    release_both(&world, |_| {});
    let (node, _gate) = serving(&world);
    let _ = node.install(["1.1.0", "--swap", "hold"]).ok();
    let told = node.install(["rehearse", "1.0.0", "--swap", "backoff", "--json"]).ok().json();
    assert_eq!(told["changeover"], "backoff");
    assert_eq!(told["dark"]["stop"]["from"], "receipts");
    assert!(told["dark"]["usual"].as_u64().unwrap() >= 1, "{told}");
    assert!(told["notes"].to_string().contains("1.0.0 is on this node already"), "{told}");
    assert_eq!(told["fetched"], 0, "all of it is here");
    let shown = node.install(["rehearse", "1.0.0"]).ok().stdout;
    for words in ["tiny 1.0.0, rehearsed", "\nhealth ", "dark: blue-green 0.00 s", "\ndisk: "] {
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn a_release_that_is_not_healthy() {
    let world = World::new();
    release_both(&world, |tree| {
        tree.replace(
            "release.toml",
            ENV,
            "env = { TINY_VERSION = \"{version} of {prefix}\", TINY_UNHEALTHY = \"1\" }",
        );
    });
    let (node, _gate) = serving(&world);
    let (before, served) = (everything(&node), who(&node));
    let words = ["health: 1.1.0 did not become healthy", "tiny: 1.1.0 of /", "rehearsal"];
    let _ = node.install(["rehearse", "stable"]).refused(5, &words);
    assert_same(&before, &everything(&node));
    assert_eq!((rehearsing(&node), who(&node)), (Vec::new(), served));
    // It is no bad release for that: what a rehearsal saw need not be so in earnest.
    assert_eq!(node.install(["plan", "stable", "--json"]).ok().json()["to"], "1.1.0");
}

#[test]
fn a_check_that_fails() {
    let world = World::new();
    release_both(&world, |tree| {
        add(tree, "[[check]]\nstage = 'health'\ncommand = 'echo no good; exit 3'\n");
    });
    let (node, _gate) = serving(&world);
    let before = everything(&node);
    let run = node.install(["rehearse", "1.1.0"]);
    assert!(!run.stderr.contains("state/rehearsal"), "it is gone: {}", run.stderr);
    let _ = run.refused(5, &["health: the check", "no good", "the node is as it was"]);
    assert_same(&before, &everything(&node));
    assert_eq!(rehearsing(&node), [""; 0]);
}

#[test]
fn an_environment_is_built_there() {
    let world = World::new();
    release_both(&world, |tree| {
        let _ = add_wheel(tree);
        let check = "[[check]]\nstage = 'build'\ncommand = '{prefix}/env/bin/demo'\n";
        add(tree, &format!("{VENDOR}\n{check}"));
    });
    let (node, _gate) = serving(&world);
    let before = everything(&node);
    let told = node.install(["rehearse", "1.1.0", "--json"]).ok().json();
    assert_same(&before, &everything(&node));
    assert_eq!(names(&told["checks"], "stage"), ["build"]);
    assert!(told["disk"]["environment"].as_u64() > told["disk"]["files"].as_u64(), "{told}");
}

#[test]
fn a_node_without_a_gate() {
    let world = World::new();
    release_both(&world, |_| {});
    let node = world.node(None);
    let before = everything(&node);
    let told = node.install(["rehearse", "1.1.0", "--json"]).ok().json();
    assert_same(&before, &everything(&node));
    assert!(told["service"]["ready"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!((&told["dark"], &told["changeover"]), (&Value::Null, &"files".into()));
}

#[test]
fn a_release_without_a_service() {
    let world = World::new();
    release_both(&world, |tree| {
        let toml = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
        let (rest, _) = toml.split_once("[service]").unwrap();
        tree.write("release.toml", rest);
    });
    let (node, _gate) = serving(&world);
    let (before, served) = (everything(&node), who(&node));
    let told = node.install(["rehearse", "1.1.0", "--json"]).ok().json();
    assert_same(&before, &everything(&node));
    assert_eq!((&told["service"], &told["dark"]), (&Value::Null, &Value::Null));
    assert_eq!(names(&told["stages"], "stage").last(), Some(&"seal"));
    assert_eq!(who(&node), served);
}

#[test]
fn the_nodes_own_files_and_values_are_seen() {
    let world = World::new();
    release_both(&world, |tree| {
        tree.write("made.ini.j2", "motto = {{ motto }}\n");
        let env = "env = { TINY_VERSION = \"{version}\", TINY_CONFIG = \"{prefix}/etc/made.ini\" }";
        tree.replace("release.toml", ENV, env);
        add(
            tree,
            "[config]\n'etc/own.ini' = { from = 'own.ini', required = true }\n\
             'etc/made.ini' = { template = 'made.ini.j2' }\n\
             [inputs.motto]\ntype = 'string'\nrequired = true\n\
             [[check]]\nstage = 'health'\nhttp = { path = '/config', contains = 'festina lente' }\n\
             [[check]]\nstage = 'configure'\nfile = { path = '{prefix}/etc/own.ini', contains = 'own' }\n",
        );
    });
    let (node, _gate) = serving(&world);
    let before = everything(&node);
    // Named where it belongs, and not where the rehearsal looks.
    let lacks = format!("lacks the file {}/shared/own.ini", node.root.display());
    let _ = node
        .install(["rehearse", "1.1.0"])
        .refused(2, &["requires: ", &lacks, "`motto`", "the node is as it was"]);
    assert_same(&before, &everything(&node));

    std::fs::write(node.root.join("shared/own.ini"), "own = yes\n").unwrap();
    node.give("motto = 'festina lente'");
    let before = everything(&node);
    let told = node.install(["rehearse", "1.1.0", "--json"]).ok().json();
    assert_same(&before, &everything(&node));
    assert_eq!(names(&told["checks"], "stage"), ["configure", "health"]);

    // 1.0.0 asks for no motto, and may go on running on a node that gives one to another.
    let _ = node.install(["1.1.0"]).ok();
    let _ = node.install(["rehearse", "1.0.0"]).ok();
}

/// What is left of a rehearsal that was killed is swept by whatever changes the node next.
fn killed(more: impl FnOnce(&Tree), sign_of_life: impl Fn(&NodeDir<'_>) -> bool, next: &[&str]) {
    let world = World::new();
    release_both(&world, more);
    let (node, _gate) = serving(&world);
    let (before, served) = (everything(&node), who(&node));
    let mut rehearsal = Running::start(node.command().args(["rehearse", "1.1.0"]));
    wait_until("it is in the middle", || sign_of_life(&node));
    let _ = node.install(["1.1.0"]).refused(6, &["install rehearse 1.1.0"]);
    rehearsal.signal("KILL");
    assert_eq!(rehearsal.end(), None);
    assert!(sign_of_life(&node) && node.root.join("state/rehearsal").exists());
    assert_eq!(who(&node), served);

    let next = node.install(next.iter().copied()).ok();
    assert!(next.stderr.contains("a rehearsal was cut off"), "{}", next.stderr);
    assert!(!node.root.join("state/rehearsal").exists());
    assert!(!sign_of_life(&node));
    assert_eq!((rehearsing(&node), who(&node)), (Vec::new(), served));
    assert_same(&before, &everything(&node));
}

#[test]
fn killed_while_its_service_starts() {
    let change = |tree: &Tree| {
        let env = "env = { TINY_VERSION = \"{version}\", TINY_START = \"600\" }";
        tree.replace("release.toml", ENV, env);
        tree.replace("release.toml", "within = \"10s\"", "within = \"600s\"");
    };
    let lives = |node: &NodeDir<'_>| !rehearsing(node).is_empty();
    killed(change, lives, &["prune"]);
}

#[test]
fn killed_while_a_command_runs() {
    let change = |tree: &Tree| {
        add(
            tree,
            "[[check]]\nstage = 'seal'\ncommand = ['sh', '-c', 'sleep 600; : {prefix}/x']\n\
             timeout = '10m'\n",
        );
    };
    let lives = |node: &NodeDir<'_>| !rehearsing(node).is_empty();
    killed(change, lives, &["resume"]);
}

#[test]
fn nothing_outside_is_removed_through_what_is_seen() {
    let world = World::new();
    release_both(&world, |_| {});
    let (node, _gate) = serving(&world);
    let keep = node.root.join("data/keep");
    std::fs::create_dir(Path::new(&keep).parent().unwrap()).unwrap();
    std::fs::write(&keep, "kept").unwrap();
    std::fs::write(node.root.join("shared/keep"), "kept").unwrap();
    for _ in 0..2 {
        let _ = node.install(["rehearse", "1.1.0"]).ok();
        assert_eq!(std::fs::read_to_string(&keep).unwrap(), "kept");
        assert_eq!(std::fs::read_to_string(node.root.join("shared/keep")).unwrap(), "kept");
    }
}
