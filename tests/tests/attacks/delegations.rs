//! Roles that speak of what is not theirs, and names that lead elsewhere.

use std::collections::BTreeMap;

use cutover_formats::digest::Digest;
use cutover_tests::attacker::{Answer, Forger};
use cutover_tests::world::World;
use serde_json::{Value, json};

use crate::besieged::{Trust, all, attack, besieged, new_bin, role_path, unharmed};

/// Publishes changed roles under the next snapshot, signed by whoever signs them.
fn publish(world: &World, forger: &Forger, ahead: u64, roles: &[(&str, &str, Value)]) {
    let mut named = BTreeMap::new();
    for (role, key, signed) in roles {
        let mut signed = signed.clone();
        let version = signed["version"].as_u64().unwrap() + ahead;
        signed["version"] = json!(version);
        let file = forger.sign(&signed, &[&forger.key(key)]);
        let path = format!("metadata/{version}.{role}.json");
        std::fs::write(world.repository().join(path), file).unwrap();
        named.insert(format!("{role}.json"), version);
    }
    let files = forger.online(ahead, |snapshot| {
        for (role, version) in named {
            snapshot["meta"][role] = json!({ "version": version });
        }
    });
    for (path, file) in files {
        std::fs::write(world.repository().join(path), file).unwrap();
    }
}

#[test]
fn delegated_roles_beyond_their_right() {
    let world = World::new();
    let (node, attacker, forger) = besieged(&world);
    let descriptor = "releases/tiny/1.1.0/release.json";
    let bin = new_bin(&forger);
    let target = forger.signed(&role_path(&forger, &bin))["targets"][descriptor].clone();
    // Row 10: a bin speaks of a path of another bin, a channel of a release. Nobody listens.
    let elsewhere = "releases/tiny/6.6.6/release.json";
    let other = (0..=255_u8).map(|n| format!("releases-{n:02x}"));
    let digest = Digest::of(elsewhere.as_bytes()).to_string();
    let wrong = other.into_iter().find(|name| !name.ends_with(&digest[..2])).expect("a bin");
    let mut bin_says = forger.signed(&role_path(&forger, &wrong));
    bin_says["targets"][elsewhere] = target.clone();
    let mut channel_says = forger.signed(&role_path(&forger, "channel-next"));
    channel_says["targets"][elsewhere] = target;
    let lies = [(&*wrong, "releases", bin_says), ("channel-next", "channels", channel_says)];
    publish(&world, &forger, 1, &lies);
    let state = (node.inventory(), node.current());
    node.install(["6.6.6"]).refused(4, &["no release 6.6.6"]);
    assert_eq!((node.inventory(), node.current()), state);
    // An unrelated role that is broken or gone is nobody's concern.
    for role in ["channel-testing", &wrong] {
        attacker.answer(&role_path(&forger, role), Answer::Status(500));
    }
    // Row 14: fields that nobody knows, inside delegations, are signed for like all others.
    let mut releases = forger.signed(&role_path(&forger, "releases"));
    releases["delegations"]["x-note"] = json!({ "of": ["a", "successor"] });
    releases["delegations"]["roles"][0]["x-owner"] = json!("somebody");
    publish(&world, &forger, 1, &[("releases", "releases", releases)]);
    let path = role_path(&forger, "releases");
    let honest = std::fs::read_to_string(world.repository().join(&path)).unwrap();
    attacker.answer(&path, Answer::Bytes(honest.replace("somebody", "somebody else").into()));
    node.install(["1.1.0"]).refused(3, &["releases is signed by 0 of the 1"]);
    assert_eq!((node.inventory(), node.current()), state);
    attacker.answer(&path, Answer::Bytes(honest.into()));
    unharmed(&node);
}

#[test]
fn borrowed_authority() {
    let world = World::new();
    let (node, attacker, forger) = besieged(&world);
    let on = (&node, &attacker);
    // Row 11: a role that is delegated to but not in the snapshot, and one with a stolen name.
    let mut top = forger.signed(&role_path(&forger, "targets"));
    let mut role = top["delegations"]["roles"][0].clone();
    role["name"] = json!("../../../current");
    role["paths"] = json!(["releases/*/*/*"]);
    top["delegations"]["roles"].as_array_mut().unwrap().insert(0, role);
    let version = top["version"].as_u64().unwrap() + 1;
    top["version"] = json!(version);
    let file = forger.sign(&top, &[&forger.key("targets")]);
    let mut answers = forger.online(1, |snapshot| {
        snapshot["meta"]["targets.json"] = json!({ "version": version });
    });
    answers.push((format!("metadata/{version}.targets.json"), file));
    let words = ["../../../current is delegated to, but is not in the snapshot"];
    attack(on, all(answers), (3, &words), Trust::NewSnapshot);
    // Row 15: in the snapshot as well, it would have a server step out of its folder.
    let mut answers = forger.online(2, |snapshot| {
        snapshot["meta"]["targets.json"] = json!({ "version": version });
        snapshot["meta"]["../../../current.json"] = json!({ "version": 1 });
    });
    let file = forger.sign(&top, &[&forger.key("targets")]);
    answers.push((format!("metadata/{version}.targets.json"), file));
    attack(on, all(answers), (3, &["unsafe path"]), Trust::NewSnapshot);
    assert!(attacker.asked().iter().all(|path| !path.contains("..%2F..")));
}
