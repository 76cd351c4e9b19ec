//! First installs, upgrades in each way to change over, rollbacks: with and without a gate.

use cutover_tests::world::{World, free_address};

use cutover_tests::trial::Trial;

#[test]
fn files_only() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    Trial::new(&node).everywhere(&["1.0.0"], "1.0.0", 0).report("first install, files");
    Trial::new(&node).everywhere(&["1.1.0"], "1.1.0", 1).report("upgrade, files");
    let back = ["rollback", "--to", "1.0.0"];
    Trial::new(&node).everywhere(&back, "1.0.0", 2).report("rollback, files");
}

#[test]
fn first_install_behind_a_gate() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    Trial::new(&node).everywhere(&["1.0.0"], "1.0.0", 3).report("first install, gate");
}

/// An upgrade and then the way back, changing over by `swap`.
fn there_and_back(swap: &str, salt: usize) {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let there = ["1.1.0", "--swap", swap];
    Trial::new(&node).everywhere(&there, "1.1.0", salt).report(&format!("upgrade, {swap}"));
    let back = ["rollback", "--to", "1.0.0", "--swap", swap];
    Trial::new(&node).everywhere(&back, "1.0.0", salt + 1).report(&format!("rollback, {swap}"));
}

#[test]
fn blue_green() {
    there_and_back("blue-green", 4);
}

#[test]
fn hold() {
    there_and_back("hold", 6);
}

#[test]
fn backoff() {
    there_and_back("backoff", 8);
}
