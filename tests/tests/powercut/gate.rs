//! A node that serves: its gate and its service go with the power, in the middle of an upgrade.

use cutover_tests::image::{Cut, Image, Kind};
use cutover_tests::strace::Site;
use cutover_tests::trial::{Count, Trial, kill_at, sample};
use cutover_tests::world::{Run, World, free_address, wait_until};

use crate::{CUTS, MEGABYTES, with_contents};

/// Cuts the power at steps of upgrades that change over by `swap`.
fn upgrade(swap: &str, salt: usize) {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let image = Image::new(&world.path(""), Kind::Xfs, MEGABYTES);
    let node = world.unmade_node(image.path().join("node"), Some(free_address()));
    let _ = Run::of(&mut node.init()).ok();
    let _ = node.install(["1.0.0"]).ok();
    let trial = Trial::new(&node);
    let arguments = ["1.1.0", "--swap", swap];
    // The journal, the symlink, and what the gate is told.
    let step = |site: &Site| {
        let file = site.file.as_deref().unwrap_or_default();
        file.ends_with("state/journal") || file.ends_with("current.new") || site.call == "sendto"
    };
    let steps = trial.sites(&arguments).into_iter().filter(step);
    let moments = steps.flat_map(|site| CUTS.map(|cut| (site.clone(), cut))).collect();
    let mut count = Count::default();
    for (site, cut) in sample(moments, salt, &mut count) {
        let (gate, before) = trial.begin();
        image.sync();
        count.add(kill_at(&trial.command(&arguments), &site));
        image.cut(cut);
        let mut gate = gate.expect("the node has one");
        gate.signal("KILL");
        wait_until("its end", || gate.has_ended());
        image.end_users();
        image.again();
        let at = format!("{arguments:?} behind a gate, {cut:?} before {site}");
        with_contents(&node, &at);
        let gate = node.start_gate();
        trial.end(Some(gate), &before, &arguments, "1.1.0", &at);
    }
    count.report(&format!("power cut behind a gate, {swap}"));
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn in_blue_green() {
    upgrade("blue-green", 5);
}

#[test]
fn in_hold() {
    upgrade("hold", 17);
}

#[test]
fn maintenance_that_was_turned_off_stays_off() {
    let world = World::new();
    let image = Image::new(&world.path(""), Kind::Xfs, MEGABYTES);
    let node = world.unmade_node(image.path().join("node"), Some(free_address()));
    let _ = Run::of(node.init().args(["--product", "tiny"])).ok();
    let mut gate = node.start_gate();
    let _ = node.install(["maintenance", "on"]).ok();
    image.sync();
    let _ = node.install(["maintenance", "off"]).ok();
    image.cut(Cut::NothingFlushed);
    gate.signal("KILL");
    wait_until("its end", || gate.has_ended());
    image.end_users();
    image.again();
    let _gate = node.start_gate();
    assert_eq!(node.status()["gate"]["maintenance"], serde_json::Value::Null);
}
