//! A release with stages of its own: wherever the installer is killed, each of them is done or undone,
//! the one that runs once is on record where it ran, and the node's secret is where it belongs alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cutover_tests::aftermath::{holders, settle};
use cutover_tests::trial::{Count, Trial, kill_at, sample};
use cutover_tests::world::{NodeDir, World, free_address};

const SECRET: &str = "correct-horse-battery";

/// What 1.1.0 has beside what 1.0.0 has. The stages write down their names, in order, and on the way
/// back with a minus; `log` lies beside the node, which is put back as it was before each try.
fn additions(log: &Path) -> String {
    let log = log.display();
    let stage = |name: &str, more: &str| {
        format!(
            "[stage.{name}]\n{more}\nrun = 'echo {name} >> {log}'\nundo = 'echo -{name} >> {log}'\n"
        )
    };
    let stages = [
        stage("bring", "after = 'unpack'"),
        stage("migrate", "before = 'switch'\nonce = true"),
        stage("warm", "before = 'settle'"),
    ];
    let checks = "[[check]]\nstage = 'bring'\ncommand = 'test -e {prefix}/app.py'\n\
                  [[check]]\nstage = 'warm'\nhttp = { path = '/', contains = '1.1.0' }\n";
    let config = "[config]\n\"etc/a.ini\" = { template = \"a.j2\" }\n\
                  [inputs.password]\nsecret = true\n";
    stages.concat() + checks + config
}

/// How far a stage came, by the last that it wrote down.
fn last(log: &[String], stage: &str) -> Option<bool> {
    let of = |line: &&String| line.trim_start_matches('-') == stage;
    log.iter().rev().find(of).map(|line| !line.starts_with('-'))
}

/// All stages are done on the new release, and none on the old.
#[track_caller]
fn in_order(node: &NodeDir<'_>, log: &Path, at: &str) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let log: Vec<String> = text.lines().map(str::to_owned).collect();
    let new = node.current().as_deref() == Some("1.1.0");
    let stages = ["bring", "migrate", "warm"];
    for stage in stages {
        let done = last(&log, stage);
        let right = if new { done == Some(true) } else { done != Some(true) };
        assert!(right, "{at}: {stage} on {:?}: {log:?}", node.current());
    }
    let place =
        |line: &String| stages.iter().position(|stage| line.trim_start_matches('-') == *stage);
    let back: Vec<_> = log.iter().filter(|line| line.starts_with('-')).map(place).collect();
    assert!(back.is_sorted_by(|one, next| one >= next), "{at}: the last is undone first: {log:?}");
    let record = node.root.join("state/once/migrate@1.1.0.json");
    assert_eq!(record.exists(), new, "{at}: what runs once is on record where it ran");
}

/// The secret is in the node's own file, and in what was rendered from it, for the node alone.
#[track_caller]
fn kept_secret(node: &NodeDir<'_>, at: &str) {
    let config = node.root.join("config");
    for path in holders(&node.root, &[SECRET]) {
        let own = path == node.root.join("shared/password");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        let rendered = path.starts_with(&config) && mode == 0o600;
        assert!(own || rendered, "{at}: {} ({mode:o}) holds the secret", path.display());
    }
}

/// 1.1.0 with its stages in the repository, and a node on 1.0.0 that has what it asks for.
fn node<'w>(world: &'w World, log: &Path) -> NodeDir<'w> {
    let tree = world.release_tiny(&["1.0.0"]);
    let toml = fs::read_to_string(tree.folder.join("release.toml")).expect("it is there");
    tree.write("release.toml", &format!("{toml}\n{}", additions(log)));
    tree.write("a.j2", "password = {{ password }}\n");
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    node.give("password = { file = \"password\" }");
    // As an earlier stage would have left it.
    fs::create_dir(node.root.join("state/once")).expect("it is ours");
    let password = node.root.join("shared/password");
    fs::write(&password, SECRET).expect("it is ours");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("it is ours");
    node
}

/// Kills upgrades that change over by `swap`.
fn upgrade(swap: &str, salt: usize) {
    let world = World::new();
    let log = world.path("log");
    let node = node(&world, &log);
    let trial = Trial::new(&node);
    let arguments = ["1.1.0", "--swap", swap];
    let mut count = Count::default();
    for site in sample(trial.sites(&arguments), salt, &mut count) {
        let _ = fs::remove_file(&log);
        let (gate, before) = trial.begin();
        count.add(kill_at(&trial.command(&arguments), &site));
        let at = format!("{arguments:?} killed before {site}");
        kept_secret(&node, &at);
        settle(&node, &before, "1.1.0", &at);
        in_order(&node, &log, &at);
        kept_secret(&node, &at);
        trial.end(gate, &before, &arguments, "1.1.0", &at);
        in_order(&node, &log, &at);
        kept_secret(&node, &at);
    }
    assert!(
        holders(&node.root, &[SECRET]).len() == 2,
        "it was rendered: {:?}",
        holders(&node.root, &[SECRET])
    );
    count.report(&format!("stages of its own, {swap}"));
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn in_blue_green() {
    upgrade("blue-green", 3);
}

#[test]
fn in_hold() {
    upgrade("hold", 14);
}
