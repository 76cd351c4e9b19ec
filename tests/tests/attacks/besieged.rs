//! A node behind a server that attacks, and what must be of it afterwards.

use std::collections::BTreeMap;
use std::path::Path;

use cutover_tests::attacker::{Answer, Attacker, Forger};
use cutover_tests::world::{NodeDir, World};

pub(crate) const TIMESTAMP: &str = "metadata/timestamp.json";

/// A node that runs 1.0.0, of a repository that holds 1.1.0 by now, behind a server that attacks.
pub(crate) fn besieged(world: &World) -> (NodeDir<'_>, Attacker, Forger) {
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
pub(crate) enum Trust {
    /// None.
    Stays,
    /// The timestamp, which was properly signed: it is a floor now.
    NewTimestamp,
    /// Timestamp and snapshot, which were.
    NewSnapshot,
}

pub(crate) fn trusted(root: &Path, trust: Trust) -> BTreeMap<String, Vec<u8>> {
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

/// All of the node but what it trusts and the contents that it has begun to fetch.
fn standing(node: &NodeDir<'_>) -> (Vec<String>, Option<String>) {
    let mut files = node.inventory();
    files.retain(|line| !line.starts_with("releases/1.1.0"));
    (files, node.current())
}

/// `install 1.1.0` while the server answers so.
#[track_caller]
pub(crate) fn attack(
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
pub(crate) fn unharmed(node: &NodeDir<'_>) {
    let _ = node.install(["1.1.0"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

pub(crate) fn bytes(path: &str, bytes: Vec<u8>) -> [(String, Answer); 1] {
    [(path.to_owned(), Answer::Bytes(bytes))]
}

pub(crate) fn all(files: Vec<(String, Vec<u8>)>) -> Vec<(String, Answer)> {
    files.into_iter().map(|(path, bytes)| (path, Answer::Bytes(bytes))).collect()
}

pub(crate) fn role_path(forger: &Forger, role: &str) -> String {
    format!("metadata/{}.{role}.json", forger.role_version(role))
}

/// A bin that changed with the release: one of those that vouch for it.
pub(crate) fn new_bin(forger: &Forger) -> String {
    let bins = (0..=255_u8).map(|bin| format!("releases-{bin:02x}"));
    let mut changed = bins.filter(|bin| forger.role_version(bin) > 1);
    changed.find(|bin| lists(forger, bin, "releases/tiny/1.1.0/release.json")).expect("a bin")
}

fn lists(forger: &Forger, role: &str, target: &str) -> bool {
    !forger.signed(&role_path(forger, role))["targets"][target].is_null()
}
