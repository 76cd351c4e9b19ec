//! A node under attack: real servers that lie, with and without stolen keys, against the real `install`.
//!
//! Each attack asserts the exit code, the message, and that prefix, `current` and trusted metadata are
//! as they were; then the server relents, and the same node goes on. `formats/docs/trust-tests.md` says
//! which test stands for which requirement.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::keys::{Signer, sign};
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names::TOP_LEVEL;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::verify::{Role, RoleKeys};
use cutover_repository::client::{Client, TrustError};
use cutover_repository::http::{HttpStore, Patience, Url};
use cutover_repository::open_read;
use cutover_tests::attacker::{Answer, Attacker, Forger};
use cutover_tests::world::{NodeDir, World};
use jiff::Timestamp;
use serde_json::{Value, json};

const TIMESTAMP: &str = "metadata/timestamp.json";

/// A node that runs 1.0.0, of a repository that holds 1.1.0 by now, behind a server that attacks.
fn besieged(world: &World) -> (NodeDir<'_>, Attacker, Forger) {
    let tree = world.release_tiny(&["1.0.0"]);
    let attacker = Attacker::serve(&world.repository());
    let node = world.node(None);
    node.takes_from(&attacker.url());
    let _ = node.install(["1.0.0"]).ok();
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    (node, attacker, Forger::new(world.repository(), world.path("keys")))
}

/// Which trusted metadata an attack may change.
#[derive(Clone, Copy)]
enum Trust {
    /// None.
    Stays,
    /// The timestamp, which was properly signed: it is a floor now.
    NewTimestamp,
    /// Timestamp and snapshot, which were.
    NewSnapshot,
}

fn trusted(root: &Path, trust: Trust) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(root.join("state/trust")).unwrap().map(|file| file.unwrap());
    let read = |file: std::fs::DirEntry| {
        (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
    };
    let mut files: BTreeMap<_, _> = files.map(read).collect();
    if !matches!(trust, Trust::Stays) {
        files.remove("timestamp.json");
    }
    if matches!(trust, Trust::NewSnapshot) {
        // What the new snapshot vouches for may have been loaded.
        files.retain(|name, _| name == "root.json");
    }
    files
}

/// All of the node but what it trusts and what it has begun to download.
fn standing(node: &NodeDir<'_>) -> (Vec<String>, Option<String>) {
    let mut files = node.inventory();
    files.retain(|line| !line.starts_with("state/downloads/"));
    (files, node.current())
}

/// `install 1.1.0` while the server answers so.
#[track_caller]
fn attack(
    (node, attacker): (&NodeDir<'_>, &Attacker),
    answers: impl IntoIterator<Item = (String, Answer)>,
    (status, words): (i32, &[&str]),
    trust: Trust,
) {
    let state = || (standing(node), trusted(&node.root, trust));
    let before = state();
    for (path, answer) in answers {
        attacker.answer(&path, answer);
    }
    node.install(["1.1.0"]).refused(status, words);
    attacker.relent();
    assert!(state() == before, "{words:?}");
}

/// The server is honest, and the node, whatever was tried with it, installs.
#[track_caller]
fn unharmed(node: &NodeDir<'_>) {
    let _ = node.install(["1.1.0"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

fn bytes(path: &str, bytes: Vec<u8>) -> [(String, Answer); 1] {
    [(path.to_owned(), Answer::Bytes(bytes))]
}

fn all(files: Vec<(String, Vec<u8>)>) -> Vec<(String, Answer)> {
    files.into_iter().map(|(path, bytes)| (path, Answer::Bytes(bytes))).collect()
}

fn role_path(forger: &Forger, role: &str) -> String {
    format!("metadata/{}.{role}.json", forger.role_version(role))
}

/// A bin that changed with the release: one of those that vouch for it.
fn new_bin(forger: &Forger) -> String {
    let bins = (0..=255_u8).map(|bin| format!("releases-{bin:02x}"));
    let mut changed = bins.filter(|bin| forger.role_version(bin) > 1);
    changed.find(|bin| lists(forger, bin, "releases/tiny/1.1.0/release.json")).expect("a bin")
}

fn lists(forger: &Forger, role: &str, target: &str) -> bool {
    !forger.signed(&role_path(forger, role))["targets"][target].is_null()
}

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
    let denied = [(second.to_owned(), Answer::Status(403))];
    attack(on, denied, (2, &["2.root.json", "403"]), stays);
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
        [".release.json", ".files.json.zst", ".tar.zst"].iter().any(|end| name.ends_with(end))
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

#[test]
fn stored_files_cut_or_changed_anywhere() {
    let world = World::new();
    let (node, _attacker, _) = besieged(&world);
    let trust = node.root.join("state/trust");
    let store = open_read(&world.repository().to_str().unwrap().parse().unwrap());
    let store = store.unwrap();
    let read = || -> Result<(), TrustError> {
        let mut client = Client::open(store.as_ref(), trust.clone(), Timestamp::now())?;
        assert!(client.find("releases/tiny/1.1.0/release.json")?.is_some());
        Ok(())
    };
    // Only what this search needs.
    for name in trusted(&node.root, Trust::Stays).keys().filter(|name| *name != "root.json") {
        std::fs::remove_file(trust.join(name)).unwrap();
    }
    read().unwrap();
    let files = trusted(&node.root, Trust::Stays);
    // Row 18: at the ends, in the signatures, between the two parts, in the middle; and too long.
    for (name, honest) in &files {
        let text = String::from_utf8(honest.clone()).unwrap();
        let joint = text.find("\"signed\"").unwrap();
        let places = [0, 1, 20, joint, joint + 12, honest.len() / 2, honest.len() - 1];
        let mut spoilt = vec![Vec::new(), vec![0; honest.len()], vec![b' '; 9 << 20]];
        for place in places {
            spoilt.push(honest[..place].to_vec());
            let mut flipped = honest.clone();
            flipped[place] ^= 4;
            spoilt.push(flipped);
        }
        for bad in spoilt {
            std::fs::write(trust.join(name), &bad).unwrap();
            let outcome = read();
            if name == "root.json" {
                let error = outcome.expect_err("a root that is not signed");
                assert!([Exit::NotTrusted, Exit::Usage].contains(&error.exit()), "{error}");
                std::fs::write(trust.join(name), honest).unwrap();
            } else {
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(&std::fs::read(trust.join(name)).unwrap() == honest, "{name} is mended");
            }
        }
    }
    unharmed(&node);
    // And as the operator sees it.
    std::fs::write(trust.join("root.json"), &files["root.json"][..40]).unwrap();
    let state = node.inventory();
    node.install(["1.0.0"]).refused(3, &["root.json is not trusted"]);
    assert_eq!((node.inventory(), node.current().as_deref()), (state, Some("1.1.0")));
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
        assert!(began.elapsed() < Duration::from_secs(10), "{path} {answer:?}");
        assert_eq!(std::fs::read(trust.join("root.json")).unwrap(), root);
        attacker.relent();
    }
    Client::open(&store, trust, Timestamp::now()).unwrap().refresh().unwrap();
}
