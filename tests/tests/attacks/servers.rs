//! Servers and networks without any key: they change, hold back, repeat, and never end.

use std::time::{Duration, Instant};

use cutover_formats::exit::{Exit, Explain as _};
use cutover_repository::client::Client;
use cutover_repository::http::{HttpStore, Patience, Url};
use cutover_tests::attacker::{Answer, Attacker};
use cutover_tests::world::World;
use jiff::Timestamp;
use serde_json::json;

use crate::besieged::{TIMESTAMP, Trust, attack, besieged, bytes, new_bin, role_path, unharmed};

#[test]
fn servers_and_networks_without_keys() {
    let world = World::new();
    let (node, attacker, forger) = besieged(&world);
    let on = (&node, &attacker);
    let stays = Trust::Stays;
    let honest = std::fs::read(world.repository().join(TIMESTAMP)).unwrap();
    let text = String::from_utf8(honest.clone()).unwrap();
    // Row 2: whatever is not "not found" does not end the chain of roots.
    let second = "metadata/2.root.json";
    attack(on, bytes(second, b"{}".to_vec()), (3, &["2.root.json", "is not trusted"]), stays);
    let denied = [(second.to_owned(), Answer::Status(401))];
    attack(on, denied, (2, &["2.root.json", "401"]), stays);
    let denied = [(TIMESTAMP.to_owned(), Answer::Status(403))];
    attack(on, denied, (2, &["timestamp.json", "403"]), stays);
    let broken = [(second.to_owned(), Answer::Status(502))];
    attack(on, broken, (8, &["2.root.json", "502"]), stays);
    let mut root = forger.signed("metadata/1.root.json");
    root["version"] = json!(2);
    let forged = forger.sign(&root, &[&forger.stranger()]);
    attack(on, bytes(second, forged), (3, &["root is signed by 0 of the 1"]), stays);
    // Row 6: an older timestamp, properly signed in its time.
    let old = forger.sign(
        &{
            let mut old = forger.signed(TIMESTAMP);
            old["version"] = json!(1);
            old
        },
        &[&forger.key("timestamp")],
    );
    attack(on, bytes(TIMESTAMP, old), (3, &["timestamp went back from version"]), stays);
    // Row 4, 14: changed, repeated, nested, of another kind, of a future specification.
    let changed = text.replace("\"version\":3", "\"version\":4");
    assert_ne!(changed, text);
    attack(on, bytes(TIMESTAMP, changed.into()), (3, &["signed by 0 of the 1"]), stays);
    let repeated = text.replacen("\"signed\"", "\"signatures\":[],\"signed\"", 1);
    attack(on, bytes(TIMESTAMP, repeated.into()), (3, &["malformed metadata"]), stays);
    let deep = "[".repeat(10_000);
    attack(on, bytes(TIMESTAMP, deep.into()), (3, &["malformed metadata"]), stays);
    let fraction = text.replace("\"version\":3", "\"version\":3.5");
    attack(on, bytes(TIMESTAMP, fraction.into()), (3, &["malformed metadata"]), stays);
    let snapshot = format!("metadata/{}.snapshot.json", forger.version());
    let swapped = std::fs::read(world.repository().join(&snapshot)).unwrap();
    attack(on, bytes(TIMESTAMP, swapped), (3, &["malformed metadata", "_type"]), stays);
    // Row 12: without end.
    let endless = [(TIMESTAMP.to_owned(), Answer::Endless(honest))];
    attack(on, endless, (3, &["timestamp.json", "larger than"]), stays);
    // Row 7: another snapshot than the one that the timestamp names; half a mirror.
    let older = std::fs::read(world.repository().join("metadata/1.snapshot.json")).unwrap();
    let moved = Trust::NewTimestamp;
    attack(on, bytes(&snapshot, older), (3, &["digest that is signed"]), moved);
    let gone = [(snapshot, Answer::Status(404))];
    attack(on, gone, (8, &["incomplete", "nothing was changed here"]), moved);
    // Row 9: roles that others signed.
    let bin = new_bin(&forger);
    let path = role_path(&forger, &bin);
    let stolen = forger.sign(&forger.signed(&path), &[&forger.stranger()]);
    let kept = Trust::NewSnapshot;
    attack(on, bytes(&path, stolen), (3, &[&bin, "signed by 0 of the 1"]), kept);
    unharmed(&node);
}

#[test]
fn wrong_files_of_a_release() {
    let world = World::new();
    let (node, attacker, _) = besieged(&world);
    let folder = "targets/releases/tiny/1.1.0";
    let files = std::fs::read_dir(world.repository().join(folder)).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    // What stock tools check beside these, no node asks for.
    names.retain(|name| {
        [".release.json", ".files.json.zst", ".frames.bin", ".tar.zst"]
            .iter()
            .any(|end| name.ends_with(end))
    });
    // The bundle first: once an honest one has come, the node does not ask for it again.
    names.sort_by_key(|name| !name.ends_with(".tar.zst"));
    // Rows 12, 13 and 17: the descriptor with its dependencies, the file list, the bundle.
    for name in names {
        let path = format!("{folder}/{name}");
        let honest = std::fs::read(world.repository().join(&path)).unwrap();
        let mut flipped = honest.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let on = (&node, &attacker);
        attack(on, bytes(&path, flipped.clone()), (3, &["not"]), Trust::NewSnapshot);
        let endless = [(path, Answer::Endless(flipped))];
        attack(on, endless, (3, &[]), Trust::NewSnapshot);
    }
    unharmed(&node);
}

#[test]
fn servers_that_fall_silent_or_never_end() {
    let world = World::new();
    let attacker = Attacker::serve(&world.repository());
    let patience = Patience { stall: Duration::from_millis(300), ..Patience::default() };
    let store = HttpStore::open_with(&attacker.url().parse::<Url>().unwrap(), patience).unwrap();
    let trust = world.path("trust");
    let root = std::fs::read(world.root_json()).unwrap();
    Client::init(trust.clone(), &root).unwrap();
    let snapshot = "metadata/1.snapshot.json";
    let drip = Answer::Drip(Duration::from_millis(50));
    for (path, answer) in [
        ("metadata/2.root.json", Answer::Stall),
        (TIMESTAMP, Answer::Stall),
        (TIMESTAMP, drip.clone()),
        (snapshot, drip),
        (snapshot, Answer::Stall),
        ("metadata/1.targets.json", Answer::Stall),
    ] {
        attacker.answer(path, answer.clone());
        let began = Instant::now();
        let refused = Client::open(&store, trust.clone(), Timestamp::now()).unwrap().refresh();
        let error = refused.expect_err("nothing comes");
        assert_eq!(error.exit(), Exit::Unreachable, "{path} {answer:?}: {error}");
        assert!(began.elapsed() < Duration::from_secs(100), "{path} {answer:?}");
        assert_eq!(std::fs::read(trust.join("root.json")).unwrap(), root);
        attacker.relent();
    }
    // In its own time.
    let store = HttpStore::open(&attacker.url().parse::<Url>().unwrap()).unwrap();
    Client::open(&store, trust, Timestamp::now()).unwrap().refresh().unwrap();
}
