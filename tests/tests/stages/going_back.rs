//! A stage that fails: nothing was switched, or the node switched back; what was done is undone.

use cutover_tests::world::World;

use crate::common::{Scene, failing, noting};

#[test]
fn before_the_switch_nothing_was_switched() {
    let world = World::new();
    let release = noting("first", "after = 'unpack'")
        + &noting("second", "after = 'first'")
        + &failing("third", "before = 'start'")
        + &noting("never", "after = 'switch'");
    let scene = Scene::new(&world, &release, "");
    let words = ["third: `echo third", "nothing was switched: the node is on 1.0.0"];
    scene.node.install(["1.1.0"]).refused(5, &words);
    assert_eq!(scene.log(), ["first", "second", "third", "-third", "-second", "-first"]);
    scene.is_as_before();
    // Nobody saw the release itself fail.
    let run = scene.node.install(["plan", "stable"]).ok();
    assert!(run.stdout.contains("install of tiny 1.1.0"), "{run}");
}

/// After the switch it goes back in reverse order, whichever way the node changes over.
fn switches_back(swap: &str) {
    let world = World::new();
    let release = noting("early", "after = 'unpack'")
        + &noting("middle", "before = 'switch'")
        + &noting("late", "after = 'switch'")
        + &failing("smoke", "before = 'settle'");
    let scene = Scene::new(&world, &release, "");
    let words = ["smoke: `echo smoke", "switched back: the node is on 1.0.0"];
    scene.node.install(["1.1.0", "--swap", swap]).refused(5, &words);
    let there = ["early", "middle", "late", "smoke"];
    let back = ["-smoke", "-late", "-middle", "-early"];
    assert_eq!(scene.log(), [&there[..], &back].concat());
    scene.is_as_before();
    let receipts: Vec<_> =
        std::fs::read_dir(scene.node.root.join("state/receipts")).unwrap().collect();
    assert_eq!(receipts.len(), 2);
    // It ran and then failed: a channel does not lead there again.
    scene.node.install(["stable"]).refused(5, &["failed on this node: smoke"]);
}

#[test]
fn after_the_switch_beside_the_old() {
    switches_back("blue-green");
}

#[test]
fn after_the_switch_in_a_pause() {
    switches_back("hold");
}

#[test]
fn what_cannot_be_undone_is_said_and_tried_again() {
    let world = World::new();
    let release = noting("first", "after = 'unpack'")
        + "[stage.second]\nafter = 'first'\nrun = 'true'\nundo = 'test -e {root}/shared/fixed'\n"
        + &failing("third", "after = 'second'");
    let scene = Scene::new(&world, &release, "");
    let run = scene.node.install(["1.1.0"]);
    run.refused(1, &["cannot undo second", "going back could not be finished", "install resume"]);
    // The rest is undone all the same.
    assert_eq!(scene.log(), ["first", "third", "-third", "-first"]);
    scene.node.install(["resume"]).refused(5, &["test -e"]);
    std::fs::write(scene.node.root.join("shared/fixed"), "").unwrap();
    let run = scene.node.install(["resume"]).ok();
    assert!(run.stdout.contains("1.0.0 is current, as before"), "{run}");
    scene.is_as_before();
}

#[test]
fn what_cannot_be_undone_at_all_can_be_left() {
    let world = World::new();
    let release = "[stage.a]\nafter = 'unpack'\nrun = 'true'\nundo = 'false'\n".to_owned()
        + &failing("b", "after = 'a'");
    let scene = Scene::new(&world, &release, "");
    scene.node.install(["1.1.0"]).refused(1, &["cannot undo a"]);
    scene.node.install(["resume"]).refused(5, &["`false` failed", "--leave-undone"]);
    let run = scene.node.install(["resume", "--leave-undone"]).ok();
    assert!(run.stderr.contains("cannot undo a"), "{run}");
    scene.is_as_before();
}
