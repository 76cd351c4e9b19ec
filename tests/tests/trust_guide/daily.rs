//! Keys that are lost or renewed, and channels with promoters of their own.

use std::fs;

use cutover_tests::world::World;

use crate::keeper::{installs, scene};

#[test]
fn keys_that_are_lost() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    for role in ["timestamp", "snapshot", "targets", "releases", "channels", "branches"] {
        keeper.destroys(role);
        let _ = keeper.does("pack keys rotate ROLE", &[("ROLE", role)]);
    }
    let _ = keeper.does("pack promote 1.4.0 stable", &[("1.4.0", "1.0.0 --older")]);
    installs(&node, "stable", "1.0.0");
    for role in ["root", "targets", "snapshot", "timestamp", "releases", "channels", "branches"] {
        let _ = keeper.does("pack keys renew ROLE", &[("ROLE", role)]);
    }
    let _ = keeper.does("pack refresh", &[]);
    installs(&node, "1.1.0", "1.1.0");
}

#[test]
fn a_channel_with_promoters_and_more_than_one_signature() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    let lines = keeper.block("pack channels add train-7");
    let [new, add, sign, apply, promote, remove] = &lines[..] else { panic!("{lines:?}") };
    for who in ["anna", "bert"] {
        let _ = keeper.does(new, &[("MY-KEYS", who)]);
        fs::copy(world.path("keys/root.json"), world.path(who).join("root.json")).unwrap();
    }
    let keys = [("5f0c…", keeper.public_key_in("anna")), ("77a1…", keeper.public_key_in("bert"))];
    let keys = keys.each_ref().map(|(from, to)| (*from, to.as_str()));
    let _ = keeper.tries(add, &keys).refused(3, &["not published yet"]);
    for who in ["anna", "bert"] {
        let _ = keeper.does(sign, &[("MY-KEYS", who)]);
    }
    let _ = keeper.does(apply, &[]);
    let waits = keeper.tries(promote, &[("1.4.0", "1.0.0"), ("MY-KEYS", "anna")]);
    let _ = waits.refused(3, &["point-train-7-of-tiny-at-1.0.0.pending.json"]);

    let lines = keeper.block("--show");
    let [_, show, signed, both] = &lines[..] else { panic!("{lines:?}") };
    let filled = [
        ("point-….pending.json", "point-train-7-of-tiny-at-1.0.0.pending.json"),
        ("--keys DIR", "--keys bert"),
    ];
    let _ = keeper.shell("cp point-train-7-of-tiny-at-1.0.0.pending.json copy-of-bert.json").ok();
    for line in [show, signed, both] {
        let _ = keeper.does(line, &filled);
    }
    installs(&node, "train-7", "1.0.0");
    let _ = keeper.does(remove, &[]);
}
