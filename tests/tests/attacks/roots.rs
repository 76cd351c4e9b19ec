//! New roots: keys that are replaced, thresholds, and roots that have expired.

use cutover_formats::keys::{Signer, sign};
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names::TOP_LEVEL;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::verify::{Role, RoleKeys};
use cutover_tests::attacker::Forger;
use cutover_tests::world::World;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::besieged::{TIMESTAMP, Trust, all, attack, besieged, unharmed};

/// Signs a second root, which `change` has changed, with the old keys and the new ones.
fn second_root(world: &World, forger: &Forger, change: impl FnOnce(&mut Value)) {
    let mut root = forger.signed("metadata/1.root.json");
    root["version"] = json!(2);
    change(&mut root);
    let root = forger.sign(&root, &[&forger.key("root")]);
    std::fs::write(world.repository().join("metadata/2.root.json"), root).unwrap();
}

/// Lets a stranger's key sign for timestamp and snapshot instead of the stolen ones.
fn replace_online_keys(forger: &Forger, root: &mut Value) {
    let new = forger.stranger();
    root["keys"][new.id()] = listed(&new);
    for role in ["timestamp", "snapshot"] {
        root["roles"][role]["keyids"] = json!([new.id()]);
    }
}

/// The key as metadata lists it.
fn listed(signer: &Signer) -> Value {
    let role = |name: &str| {
        let keys = RoleKeys { keyids: vec![signer.id().to_owned()], threshold: 1 };
        (name.to_owned(), Role { keys, unknown: Object::new() })
    };
    let root = Root {
        head: Head::new(1, Timestamp::now()),
        consistent_snapshot: true,
        keys: [(signer.id().to_owned(), signer.public().clone())].into(),
        roles: TOP_LEVEL.map(role).into(),
        unknown: Object::new(),
    };
    let mut file: Value = serde_json::from_slice(&sign(&root, [signer])).unwrap();
    file["signed"]["keys"][signer.id()].take()
}

#[test]
fn a_fast_forward_is_undone_by_new_keys_and_old_ones_count_no_more() {
    let world = World::new();
    let (node, attacker, forger) = besieged(&world);
    let on = (&node, &attacker);
    // Row 5: the thief sets floors that nothing true will ever reach.
    let far = all(forger.online(1 << 40, |_| {}));
    far.iter().for_each(|(path, answer)| attacker.answer(path, answer.clone()));
    let _ = node.install(["plan", "1.1.0"]).ok();
    attacker.relent();
    attack(on, [], (3, &["went back"]), Trust::Stays);
    // Replay: what the old keys signed, after they were replaced.
    second_root(&world, &forger, |root| replace_online_keys(&forger, root));
    let state = node.inventory();
    node.install(["1.1.0"]).refused(3, &["timestamp is signed by 0 of the 1"]);
    assert_eq!(node.inventory(), state);
    // The keepers sign what there is with the new keys.
    let new = forger.stranger();
    let mut files = forger.online(1, |_| {});
    let snapshot: Value = serde_json::from_slice(&files[0].1).unwrap();
    files[0].1 = forger.sign(&snapshot["signed"], &[&new]);
    let mut timestamp: Value = serde_json::from_slice(&files[1].1).unwrap();
    let meta = &mut timestamp["signed"]["meta"]["snapshot.json"];
    let _ = meta.as_object_mut().map(|meta| meta.retain(|name, _| name == "version"));
    files[1].1 = forger.sign(&timestamp["signed"], &[&new]);
    all(files).into_iter().for_each(|(path, answer)| attacker.answer(&path, answer));
    unharmed(&node);
}

#[test]
fn roots_that_expired_or_need_more_keys() {
    let world = World::new();
    let (node, _attacker, forger) = besieged(&world);
    // Row 3: the last root has expired; it is followed all the same, so that the next can be.
    second_root(&world, &forger, |root| root["expires"] = json!("2020-01-01T00:00:00Z"));
    let state = node.inventory();
    node.install(["1.1.0"]).refused(3, &["root expired"]);
    assert_eq!(node.inventory(), state);
    // Row 4: two keys, of which one signs, also when it does so under another name.
    let mut root = forger.signed("metadata/1.root.json");
    root["version"] = json!(3);
    let id = root["roles"]["timestamp"]["keyids"][0].as_str().unwrap().to_owned();
    root["keys"]["alias"] = root["keys"][&id].clone();
    root["roles"]["timestamp"] = json!({ "keyids": [id, "alias"], "threshold": 2 });
    let third = forger.sign(&root, &[&forger.key("root")]);
    std::fs::write(world.repository().join("metadata/3.root.json"), third).unwrap();
    let honest = std::fs::read(world.repository().join(TIMESTAMP)).unwrap();
    let mut file: Value = serde_json::from_slice(&honest).unwrap();
    let mut alias = file["signatures"][0].clone();
    alias["keyid"] = json!("alias");
    file["signatures"].as_array_mut().unwrap().push(alias);
    std::fs::write(world.repository().join(TIMESTAMP), serde_json::to_vec(&file).unwrap()).unwrap();
    node.install(["1.1.0"]).refused(3, &["timestamp is signed by 1 of the 2"]);
    assert_eq!(node.inventory(), state);
    // The intermediate root's expiry is no matter.
    root["version"] = json!(4);
    root["roles"]["timestamp"] = json!({ "keyids": [id], "threshold": 1 });
    let fourth = forger.sign(&root, &[&forger.key("root")]);
    std::fs::write(world.repository().join("metadata/4.root.json"), fourth).unwrap();
    unharmed(&node);
}
