//! Who has stolen the keys of the machine that is on: freezes, rollbacks, and what is half shown.

use cutover_tests::world::World;
use serde_json::json;

use crate::besieged::{TIMESTAMP, Trust, all, attack, besieged, bytes, new_bin, unharmed};

#[test]
fn who_has_stolen_the_online_keys() {
    let world = World::new();
    let (node, attacker, forger) = besieged(&world);
    let on = (&node, &attacker);
    let past = json!("2020-01-01T00:00:00Z");
    // Rows 1 and 3: a freeze runs into the expiry.
    let mut frozen = forger.signed(TIMESTAMP);
    frozen["expires"] = past.clone();
    let frozen = forger.sign(&frozen, &[&forger.key("timestamp")]);
    attack(on, bytes(TIMESTAMP, frozen), (3, &["timestamp expired", "clock"]), Trust::Stays);
    let expired = forger.online(1, |snapshot| snapshot["expires"] = past.clone());
    attack(on, all(expired), (3, &["snapshot expired"]), Trust::NewTimestamp);
    // Row 8: a role goes back, or away.
    let bin = new_bin(&forger);
    let removed = forger.online(2, |snapshot| {
        let _ = snapshot["meta"].as_object_mut().and_then(|meta| meta.remove("releases.json"));
    });
    let gone = ["releases is no longer in the snapshot"];
    attack(on, all(removed), (3, &gone), Trust::NewTimestamp);
    // From here on they can withhold what the node has not seen, and no more.
    let held_back = forger.online(3, |snapshot| {
        snapshot["meta"][format!("{bin}.json")]["version"] = json!(1);
    });
    attack(on, all(held_back), (4, &["no release 1.1.0"]), Trust::NewSnapshot);
    let told = forger.online(4, |snapshot| {
        snapshot["meta"][format!("{bin}.json")]["version"] = json!(99);
    });
    attack(on, all(told), (8, &["incomplete", &bin]), Trust::NewSnapshot);
    // That snapshot stays a floor: the role that it speaks of does not go back.
    let back = forger.online(5, |_| {});
    attack(on, all(back), (3, &[&bin, "went back from version 99"]), Trust::NewTimestamp);
}

#[test]
fn an_interrupted_refresh_then_a_rollback() {
    let world = World::new();
    let (node, attacker, forger) = besieged(&world);
    let on = (&node, &attacker);
    let bin = new_bin(&forger);
    let _ = node.install(["1.1.0"]).ok();
    let prefix = node.inventory();
    // A newer timestamp is stored, but its snapshot does not come.
    let mut newer = forger.online(1, |_| {});
    newer[0].1.clear();
    attack(on, all(newer), (3, &["signed are"]), Trust::NewTimestamp);
    // Now an older role is shown. The last good snapshot still is the floor.
    let older = forger.online(2, |snapshot| {
        snapshot["meta"][format!("{bin}.json")]["version"] = json!(1);
    });
    attack(on, all(older), (3, &[&bin, "went back"]), Trust::NewTimestamp);
    assert_eq!(node.inventory(), prefix);
    let good = forger.online(3, |_| {});
    all(good).into_iter().for_each(|(path, answer)| attacker.answer(&path, answer));
    unharmed(&node);
}
