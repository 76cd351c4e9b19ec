//! Bytes that may never change: what a fixed key signs of fixed metadata.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cutover_formats::channel::Pointer;
use cutover_formats::digest::Digest;
use cutover_formats::keys::file::{Salt, read_encrypted, write_encrypted, write_plain};
use cutover_formats::keys::{Signer, sign};
use cutover_formats::tuf::json::{Json, Object};
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names::TOP_LEVEL;
use cutover_formats::tuf::pattern::Paths;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::snapshot::{MetaFile, Snapshot};
use cutover_formats::tuf::targets::{DelegatedRole, Delegations, Target, Targets};
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_formats::tuf::trusted::{Delegator, Roots};
use cutover_formats::tuf::verify::{Role, RoleKeys};
use cutover_formats::version::Version;

fn key() -> Signer {
    Signer::from_seed([7; 32])
}

fn head() -> Head {
    Head::new(1, "2031-02-03T04:05:06Z".parse().unwrap())
}

fn role_keys() -> RoleKeys {
    RoleKeys { keyids: vec![key().id().to_owned()], threshold: 1 }
}

fn root() -> Root {
    let role = || Role { keys: role_keys(), unknown: Object::new() };
    Root {
        head: head(),
        consistent_snapshot: true,
        keys: [(key().id().to_owned(), key().public().clone())].into(),
        roles: TOP_LEVEL.map(|name| (name.to_owned(), role())).into(),
        unknown: Object::new(),
    }
}

fn targets() -> Targets {
    let bin = DelegatedRole {
        name: "releases-ba".to_owned(),
        keys: role_keys(),
        paths: Paths::HashPrefixes(vec!["ba".to_owned()]),
        terminating: false,
        unknown: Object::new(),
    };
    let channel = DelegatedRole {
        name: "channel-stable".to_owned(),
        paths: Paths::Patterns(vec!["channels/stable/*".to_owned().into()]),
        terminating: true,
        ..bin.clone()
    };
    let keys = root().keys;
    let delegations = Delegations { keys, roles: vec![channel, bin], unknown: Object::new() };
    let mut targets = Targets::new(head(), Some(delegations));
    let custom = [("note", Json::from("é \" \\ \n"))].into_iter().collect();
    targets.targets.insert("a/b".to_owned(), Target::new(3, Digest::of(b"abc"), Some(custom)));
    targets
}

fn snapshot() -> Snapshot {
    let meta = BTreeMap::from([("targets.json".to_owned(), MetaFile::version(1))]);
    Snapshot { head: head(), meta, unknown: Object::new() }
}

fn timestamp() -> Timestamp {
    Timestamp { head: head(), snapshot: MetaFile::version(1), unknown: Object::new() }
}

/// Compares with the stored file; `CUTOVER_BLESS=1` stores it, for a new format version.
fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("CUTOVER_BLESS").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let expected = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let shown = String::from_utf8_lossy;
    assert_eq!(shown(bytes), shown(&expected), "{name}");
}

#[test]
fn metadata() {
    golden("root.json", &sign(&root(), [&key()]));
    golden("targets.json", &sign(&targets(), [&key()]));
    golden("snapshot.json", &sign(&snapshot(), [&key()]));
    golden("timestamp.json", &sign(&timestamp(), [&key()]));
}

#[test]
fn keys_and_pointers() {
    golden("key.pem", write_plain(&key()).as_bytes());
    let salt = Salt { salt: [1; 16], iv: [2; 16] };
    let sealed = write_encrypted(&key(), "open sesame", &salt);
    golden("key-encrypted.pem", sealed.as_bytes());
    assert_eq!(read_encrypted(&sealed, "open sesame").unwrap().id(), key().id());
    let (channel, product) = ("stable".parse().unwrap(), "weave".parse().unwrap());
    let pointer = Pointer::new(channel, product, Version::new(1, 1, 4), Digest::of(b"abc"));
    golden("channel.json", &pointer.to_bytes());
}

/// The stored files, read back through the whole workflow.
#[test]
fn the_stored_files_are_trusted() {
    let read = |name: &str| {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
    };
    let roots = Roots::pinned(&read("root.json")).unwrap();
    let timestamps = roots.finish("2030-01-01T00:00:00Z".parse().unwrap()).unwrap();
    let (snapshots, _) = timestamps.accept(&read("timestamp.json")).unwrap();
    let trusted = snapshots.accept(&read("snapshot.json")).unwrap();
    let found = trusted.role("targets", Delegator::Root, &read("targets.json")).unwrap();
    assert_eq!(*found, targets());
}
