//! `install apply`: changed values and secrets come to the release that runs, by the node's way to
//! change over, and it goes back to what it had where it does not run well with them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::time::Duration;

use cutover_tests::aftermath::{served, services, whole};
use cutover_tests::traffic::{Tally, Traffic};
use cutover_tests::world::{NodeDir, World, assert_same, free_address, get};

/// A node that serves 1.0.0 with its first configuration, once its gate runs.
fn node(world: &World) -> NodeDir<'_> {
    let tree = world.tree("tiny");
    tree.configured();
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    node
}

/// What the service has read.
fn config(node: &NodeDir<'_>) -> String {
    get(node.gate.unwrap(), "/config").unwrap().1
}

fn pid(node: &NodeDir<'_>) -> serde_json::Value {
    node.status()["gate"]["running"]["pid"].clone()
}

fn receipts(node: &NodeDir<'_>) -> Vec<serde_json::Value> {
    let log = node.install(["log", "--json"]).ok().json();
    log["receipts"].as_array().unwrap().clone()
}

/// Asks all the time while `act` goes on.
fn under_traffic<T>(node: &NodeDir<'_>, act: impl FnOnce() -> T) -> (T, Tally) {
    let traffic = Traffic::gets(node.gate.unwrap(), "/config", 3, Duration::from_millis(5));
    traffic.beside(Duration::ZERO, act)
}

#[test]
fn changed_values_and_secrets_come_to_what_runs() {
    let world = World::new();
    let node = node(&world);
    let _gate = node.start_gate();
    served(&node, "before");
    let before = node.inventory();
    let run = node.install(["apply"]).ok();
    assert!(run.stdout.contains("nothing has changed in the configuration of tiny 1.0.0"), "{run}");
    assert!(run.stderr.contains("install apply --restart"), "{run}");
    assert_same(&before, &node.inventory());

    node.give("word = 'second'");
    let run = node.install(["config", "diff"]).ok();
    assert!(
        run.stdout.contains("-word = first\n") && run.stdout.contains("+word = second"),
        "{run}"
    );
    assert!(run.stderr.contains("`install apply`"), "{run}");
    let run = node.install(["1.0.0"]).ok();
    assert!(run.stderr.contains("`install apply` applies it"), "{run}");
    let before = node.inventory();
    let run = node.install(["apply", "--dry-run"]).ok();
    assert!(run.stdout.contains("apply to tiny 1.0.0\n"), "{run}");
    assert!(run.stdout.contains("render etc/a.ini beside what holds"), "{run}");
    assert_same(&before, &node.inventory());

    // Beside what runs: nobody waits, nobody fails.
    let (run, tally) = under_traffic(&node, || node.install(["apply", "--json"]).ok());
    let receipt = run.json();
    assert_eq!((&receipt["operation"], &receipt["result"]), (&"apply".into(), &"done".into()));
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
    assert_eq!(receipt["gate"]["dark"], 0.0, "{run}");
    assert_eq!(config(&node), "word = second");
    assert_eq!(node.status()["gate"]["running"]["config"], 1);

    // A secret, with a pause.
    fs::write(world.path("token"), "battery-staple\n").unwrap();
    let token = world.path("token").display().to_string();
    node.give(&format!("word = 'second'\ntoken = {{ file = '{token}' }}"));
    let _ = node.install(["apply", "--swap", "hold"]).ok();
    assert_eq!(config(&node), "word = second, token = battery-staple");
    fs::write(world.path("token"), "horse-staple\n").unwrap();
    let run = node.install(["config", "diff"]).ok();
    assert!(run.stderr.contains("secrets are not compared here"), "{run}");
    let (run, tally) = under_traffic(&node, || node.install(["apply", "--swap", "hold"]).ok());
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(run.stdout.contains("tiny 1.0.0 runs with its new configuration; dark"), "{run}");
    assert!(!run.stdout.contains("staple") && !run.stderr.contains("staple"), "{run}");
    assert_eq!(config(&node), "word = second, token = horse-staple");

    // What the service reads through links is none of ours; it can be had to start anew all the same.
    let old = pid(&node);
    let _ = node.install(["apply", "--restart"]).ok();
    assert_ne!(pid(&node), old);
    served(&node, "after");
    whole(&node, "after");
    let operations: Vec<_> = receipts(&node).iter().map(|it| it["operation"].clone()).collect();
    assert_eq!(operations.iter().filter(|it| *it == "apply").count(), 4, "{operations:?}");
    let run = node.install(["log", "--last"]).ok();
    assert!(run.stdout.contains("apply to tiny 1.0.0: done"), "{run}");
    assert!(!fs::read_to_string(node.root.join("state/history.jsonl")).unwrap().contains("staple"));
}

#[test]
fn a_configuration_that_does_not_work_is_taken_back() {
    let world = World::new();
    let node = node(&world);
    let _gate = node.start_gate();
    served(&node, "before");
    for (swap, same_process) in [("blue-green", true), ("hold", false)] {
        let (before, old) = (node.inventory(), pid(&node));
        node.give("word = 'broken'");
        let arguments = ["apply", "--swap", swap];
        let (run, tally) = under_traffic(&node, || node.install(arguments));
        let run = run.refused(
            5,
            &[
                "1.0.0 did not become healthy",
                "tiny: the configuration is broken",
                "switched back: the node is on 1.0.0 with its configuration as before",
            ],
        );
        assert_eq!(tally.failed, 0, "{run}\n{tally:?}");
        assert_eq!(config(&node), "word = first", "{swap}");
        assert_eq!(pid(&node) == old, same_process, "{swap}: blue-green leaves it alone");
        let without_settings = |mut lines: Vec<String>| {
            lines.retain(|line| !line.starts_with("node.toml") && !line.starts_with("state/gate"));
            lines
        };
        assert_same(&without_settings(before), &without_settings(node.inventory()));
        let last = receipts(&node).pop().unwrap();
        assert_eq!(last["result"], "switched-back", "{swap}: {last}");
        // It is the configuration's fault, not the release's.
        let list = node.install(["list", "--json"]).ok();
        assert!(!list.stdout.contains("\"bad\""), "{list}");
        served(&node, swap);
        assert_eq!(services(&node).len(), 1);
        // And what is wrong with it is said before anything is touched.
        node.give("word = 7");
        node.install(arguments).refused(2, &["gives `word` in [inputs]", "nothing changed"]);
        node.give("word = 'first'");
    }
    node.give("word = 'third'");
    let _ = node.install(["apply"]).ok();
    assert_eq!(config(&node), "word = third");
}

#[test]
fn without_a_gate_only_the_files_change() {
    let world = World::new();
    let node = node(&world);
    fs::write(node.root.join("config/1.0.0/current/files/etc/a.ini"), "edited").unwrap();
    let run = node.install(["apply"]).ok();
    assert!(run.stdout.contains("tiny 1.0.0 has its new configuration"), "{run}");
    assert!(run.stderr.contains("the gate is not running"), "{run}");
    let file = node.root.join("current/etc/a.ini");
    assert_eq!(fs::read_to_string(&file).unwrap(), "word = first");
    node.give("word = 'second'");
    let _ = node.install(["apply"]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "word = second");
    whole(&node, "after");
    let _gate = node.start_gate();
    served(&node, "after");
    assert_eq!(config(&node), "word = second");

    let bare = world.unmade_node(world.path("bare"), None);
    let _ = cutover_tests::world::Run::of(&mut bare.init()).ok();
    bare.install(["apply"]).refused(4, &["no release is current", "nothing was changed"]);
}
