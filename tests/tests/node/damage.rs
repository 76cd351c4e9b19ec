//! A sealed prefix that is not what was sealed any more.

use std::fs;

use cutover_tests::world::{NodeDir, World, assert_same, free_address, get};

fn two(world: &World) -> NodeDir<'_> {
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    for version in ["1.0.0", "1.1.0"] {
        let _ = node.install([version]).ok();
    }
    node
}

#[test]
fn a_rollback_to_a_damaged_release_is_refused_and_an_install_brings_it_again() {
    let world = World::new();
    let node = two(&world);
    let app = node.root.join("releases/1.0.0/app.py");
    let damages: [(&str, &dyn Fn()); 3] = [
        ("app.py is missing", &|| fs::remove_file(&app).unwrap()),
        ("instead of", &|| fs::write(&app, "").unwrap()),
        ("app.py is a folder, should be a file", &|| {
            fs::remove_file(&app).unwrap();
            fs::create_dir(&app).unwrap();
        }),
    ];
    for (words, damage) in damages {
        damage();
        let before = node.inventory();
        let all =
            ["1.0.0 is damaged on this node", words, "nothing was changed", "`install 1.0.0`"];
        for rollback in [&["rollback"][..], &["rollback", "--dry-run"]] {
            node.install(rollback.iter().copied()).refused(3, &all);
        }
        assert_same(&before, &node.inventory());
        let plan = node.install(["plan", "1.0.0"]).ok();
        assert!(
            plan.stdout.contains("1.0.0 is damaged on this node and is brought again"),
            "{plan}"
        );
        let run = node.install(["1.0.0"]).ok();
        assert!(run.stderr.contains("is brought again"), "{run}");
        let _ = node.install(["verify", "--all"]).ok();
        let _ = node.install(["1.1.0"]).ok();
    }
    let _ = node.install(["rollback"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
}

/// A restored backup may lack records of what runs: that is no reason to take it away.
#[test]
fn what_is_in_use_stays_although_its_seal_is_gone() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0", "1.2.0"]);
    let node = world.node(None);
    for version in ["1.2.0", "1.0.0", "1.1.0"] {
        let _ = node.install([version]).ok();
    }
    let prefix = |version: &str| node.root.join("releases").join(version);
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        fs::remove_file(node.root.join(format!("state/releases/{version}/seal.json"))).unwrap();
    }
    let status = node.install(["status"]).ok();
    assert!(status.stderr.contains("1.1.0 is current here and damaged"), "{status}");
    node.install(["1.1.0"]).refused(3, &["seal.json is missing", "nothing was changed"]);
    let plan = node.install(["prune", "--dry-run"]).ok();
    assert!(plan.stdout.contains("would remove 1.2.0"), "{plan}");
    let run = node.install(["prune"]).ok();
    assert!(run.stdout.contains("removed 1.2.0"), "{run}");
    // What runs, and what ran before.
    assert_eq!(
        [prefix("1.0.0"), prefix("1.1.0"), prefix("1.2.0")].map(|it| it.exists()),
        [true, true, false]
    );
    let _ = node.install(["1.2.0"]).ok();
    assert!(prefix("1.1.0").exists(), "the way back");
}

/// How a node is can be asked above all when something is wrong with it.
#[test]
fn status_is_told_of_a_node_whose_records_are_damaged() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    let _gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    fs::write(node.root.join("state/releases/1.1.0/release.json"), "{").unwrap();
    fs::write(node.root.join("state/standings.json"), "{").unwrap();
    let status = node.install(["status"]).ok();
    assert!(status.stdout.contains("current     1.1.0"), "{status}");
    assert!(status.stderr.contains("standings.json"), "{status}");
}

#[test]
fn contents_are_looked_at_where_that_is_asked_for() {
    let world = World::new();
    let node = two(&world);
    let app = node.root.join("releases/1.0.0/app.py");
    let mut bytes = fs::read(&app).unwrap();
    bytes[0] ^= 1;
    fs::write(&app, bytes).unwrap();
    node.install(["rollback", "--deep"]).refused(3, &["app.py has contents with sha256"]);
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
    // What services leave beside the release is no damage.
    fs::write(node.root.join("releases/1.0.0/left-behind"), "").unwrap();
    let _ = node.install(["rollback"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
}

#[test]
fn what_runs_is_not_brought_again_where_it_is() {
    let world = World::new();
    let node = two(&world);
    fs::remove_file(node.root.join("current/app.py")).unwrap();
    let words = ["1.1.0 is damaged on this node", "it is in use", "install another release"];
    node.install(["1.1.0"]).refused(3, &words);
    node.install(["apply", "--restart"]).refused(3, &words);
    let _ = node.install(["1.0.0"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    let _ = node.install(["verify"]).ok();
}

#[test]
fn the_way_back_after_a_failure_leads_to_what_ran_and_says_so() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    tree.replace("release.toml", "env = { ", "env = { TINY_EXIT = \"3\", ");
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(Some(free_address()));
    let _gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    fs::remove_file(node.root.join("releases/1.0.0/release.toml")).unwrap();
    let words = ["WENT BACK TO 1.0.0, WHICH IS DAMAGED", "release.toml is missing"];
    node.install(["1.1.0", "--swap", "hold"]).refused(5, &words);
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
    let (status, _) = get(node.gate.unwrap(), "/").unwrap();
    assert_eq!(status, 200);
}
