//! `install prune` and `install init`.

use cutover_tests::aftermath::whole;
use cutover_tests::strace::{CHANGES, sites};
use cutover_tests::world::{Run, World, assert_same};

use cutover_tests::trial::{Count, End, Trial, kill_at, sample};

#[test]
fn prune() {
    let world = World::new();
    let versions = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"];
    let _tree = world.release_tiny(&versions);
    let node = world.node(None);
    for version in versions {
        let _ = node.install([version]).ok();
    }
    node.change("keep = 3", "keep = 0");

    let trial = Trial::new(&node);
    let mut count = Count::default();
    for site in sample(trial.sites(&["prune"]), 0, &mut count) {
        let (_, before) = trial.begin();
        count.add(kill_at(&trial.command(&["prune"]), &site));
        trial.end(None, &before, &["prune"], "1.3.0", &format!("prune killed before {site}"));
        let mut left: Vec<_> = std::fs::read_dir(node.root.join("releases")).unwrap().collect();
        left.extend(std::fs::read_dir(node.root.join("state/releases")).unwrap());
        assert_eq!(
            left.len(),
            4,
            "{site}: what runs, what ran before, and their records: {left:?}"
        );
    }
    count.report("prune");
}

#[test]
fn init() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.unmade_node(world.path("node"), None);
    // Looking for the only product would keep all of the repository's roles, by hundreds of calls.
    let init = || {
        let mut command = node.init();
        command.args(["--product", "tiny"]);
        command
    };
    let sites = sites(&init(), &CHANGES);
    let made = node.inventory();
    let mut count = Count::default();
    for site in sample(sites, 0, &mut count) {
        std::fs::remove_dir_all(&node.root).unwrap();
        let end = kill_at(&init(), &site);
        count.add(end);
        // Its last act makes it a node's root.
        if end == End::Killed && !node.root.join("node.toml").exists() {
            let _ = Run::of(&mut init()).ok();
        }
        let at = format!("init killed before {site}");
        assert_same(&made, &node.inventory());
        let _ = node.install(["1.0.0"]).ok();
        whole(&node, &at);
    }
    count.report("init");
}
