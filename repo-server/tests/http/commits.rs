//! What somebody with a token and without the keys can do to a repository: not much.

use std::collections::BTreeMap;

use cutover_formats::digest::Digest;
use cutover_formats::keys::file::read_plain;
use cutover_formats::keys::{Signer, sign};
use cutover_formats::secret::Secret;
use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::snapshot::{MetaFile, Snapshot};
use cutover_formats::tuf::targets::Targets;
use cutover_formats::tuf::timestamp::Timestamp as Committed;
use cutover_publish::init;
use cutover_publish::keyring::{KeyRole, Keyring, Protection};
use cutover_repository::open_write;
use jiff::{SignedDuration, Timestamp};

use crate::common::{Answer, Made, Server, TOKEN, target, wait_until};

const NEW: &str = "If-None-Match: *";
const TIMESTAMP: &str = "/metadata/timestamp.json";

fn replacing(old: &[u8]) -> String {
    format!("If-Match: \"{}\"", Digest::of(old))
}

/// A server that has the repository, as its first timestamp says.
fn serving(made: &Made) -> Server {
    let server = Server::start();
    made.give(&server);
    let first = server.put(TIMESTAMP, NEW, &made.timestamps[0]);
    assert_eq!(first.status, 201, "{first:?}");
    server
}

fn refused(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(words.iter().all(|word| answer.text().contains(word)), "{words:?}: {answer:?}");
    assert!(answer.text().contains("nothing was changed"), "{answer:?}");
}

/// The repository's own online keys, and those of a stranger.
struct Keys {
    online: BTreeMap<&'static str, Signer>,
}

impl Keys {
    fn stranger() -> Self {
        let signer = |seed| Signer::from_seed([seed; 32]);
        Self { online: BTreeMap::from([("snapshot", signer(7)), ("timestamp", signer(8))]) }
    }

    fn of(made: &Made) -> Self {
        let folder = made.store().join("../keys");
        let signer = |role: KeyRole| {
            let pem = std::fs::read_to_string(folder.join(format!("{role}.pem"))).unwrap();
            read_plain(&pem).unwrap()
        };
        let online = [("snapshot", KeyRole::Snapshot), ("timestamp", KeyRole::Timestamp)];
        Self { online: online.map(|(name, role)| (name, signer(role))).into() }
    }

    fn snapshot(&self, snapshot: &Snapshot) -> Vec<u8> {
        sign(snapshot, [&self.online["snapshot"]])
    }

    fn timestamp(&self, version: u64, snapshot: u64) -> Vec<u8> {
        self.timestamp_until(Timestamp::now() + SignedDuration::from_hours(24), version, snapshot)
    }

    fn timestamp_until(&self, expires: Timestamp, version: u64, snapshot: u64) -> Vec<u8> {
        let (head, snapshot) = (Head::new(version, expires), MetaFile::version(snapshot));
        let timestamp = Committed { head, snapshot, unknown: Object::new() };
        sign(&timestamp, [&self.online["timestamp"]])
    }
}

fn read_snapshot(made: &Made, version: u64) -> Snapshot {
    let bytes = made.file(&format!("metadata/{version}.snapshot.json"));
    Draft::from_bytes(&bytes).unwrap().read().unwrap()
}

#[test]
fn a_timestamp_that_readers_would_refuse_is_not_taken() {
    let made = Made::new(1, 0);
    let (server, keys) = (serving(&made), Keys::of(&made));
    let now = made.timestamps[0].as_slice();
    let put = |bytes: &[u8]| server.put(TIMESTAMP, &replacing(now), bytes);
    for shape in ["<html>", "{}", r#"{"signed":{},"signatures":[]}"#] {
        assert_eq!(put(shape.as_bytes()).status, 400, "{shape}");
    }
    for (version, words) in [("null", 400), ("\"2\"", 400), ("2.0", 400), ("2", 422)] {
        let body = format!("{{\"signed\":{{\"version\":{version}}},\"signatures\":[]}}");
        assert_eq!(put(body.as_bytes()).status, words, "{body}");
    }
    refused(&put(&Keys::stranger().timestamp(2, 2)), &["timestamp.json", "signed by 0 of the 1"]);
    refused(&put(&keys.timestamp(2, 9)), &["9.snapshot.json", "not there"]);
    let expired = keys.timestamp_until(Timestamp::now() - SignedDuration::from_secs(1), 2, 2);
    refused(&put(&expired), &["timestamp.json", "expired"]);
    assert_eq!(server.get(TIMESTAMP, &[]).body, now);
    assert_eq!(put(&made.timestamps[1]).status, 204, "the right one is");
    // And none that is older, whatever was tried in between.
    let second = made.timestamps[1].as_slice();
    assert_eq!(server.put(TIMESTAMP, &replacing(second), now).status, 409);
}

#[test]
fn a_snapshot_is_signed_and_names_what_is_there() {
    let made = Made::new(0, 0);
    let (server, keys) = (serving(&made), Keys::of(&made));
    let now = made.timestamps[0].as_slice();
    let mut next = read_snapshot(&made, 1);
    next.head.version = 2;
    let path = "/metadata/2.snapshot.json";
    let junk = server.put(path, NEW, br#"{"signed":{"version":2},"signatures":[]}"#);
    refused(&junk, &["2.snapshot.json"]);
    refused(&server.put(path, NEW, &Keys::stranger().snapshot(&next)), &["signed by 0 of the 1"]);
    refused(&server.put("/metadata/3.snapshot.json", NEW, &keys.snapshot(&next)), &["version 2"]);
    // The online keys alone make no release: a role that is not there, or that its own keys did not sign.
    next.meta.insert("channel-stable.json".to_owned(), MetaFile::version(2));
    assert_eq!(server.put(path, NEW, &keys.snapshot(&next)).status, 201);
    let commit = |version| {
        let timestamp = keys.timestamp(2, version);
        server.put(TIMESTAMP, &replacing(now), &timestamp)
    };
    refused(&commit(2), &["2.channel-stable.json", "not there"]);
    let old = made.file("metadata/1.channel-stable.json");
    let forged = String::from_utf8(old).unwrap().replace("\"version\":1", "\"version\":2");
    let role = server.put("/metadata/2.channel-stable.json", NEW, forged.as_bytes());
    assert_eq!(role.status, 201, "whose it is, is only known when it is committed");
    refused(&commit(2), &["2.channel-stable.json", "signed by 0 of the 1"]);
    // One that forgets a role.
    let mut fewer = read_snapshot(&made, 1);
    fewer.head.version = 3;
    fewer.meta.remove("channel-stable.json");
    assert_eq!(server.put("/metadata/3.snapshot.json", NEW, &keys.snapshot(&fewer)).status, 201);
    refused(&commit(3), &["3.snapshot.json", "channel-stable"]);
    assert_eq!(server.get(TIMESTAMP, &[]).body, now);
}

/// What no commit names is bounded while it waits, and goes after a while; what one names stays.
#[test]
fn what_no_commit_names_is_bounded_and_swept() {
    let server = Server::start_by(|command| command.args(["--max-uncommitted", "8MiB"]));
    let (folder, token) = (tempfile::tempdir().unwrap(), Secret::new(TOKEN.to_owned()));
    let store = open_write(&server.url().parse().unwrap(), Some(token)).unwrap();
    let secret = || Ok(Secret::new("open".to_owned()));
    let keyring = Keyring::new(folder.path().join("keys"), Box::new(secret));
    keyring.create(&Protection::None).unwrap();
    init(&*store, &keyring, Timestamp::now()).unwrap();
    let waiting = |server: &Server| server.metric("cutover_uncommitted_files");
    assert_eq!(waiting(&server), Some(0), "all of it was named");
    let junk = br#"{"signed":{"version":9},"signatures":[]}"#;
    let path = |version: u32| format!("/metadata/{version}.channel-stable.json");
    for version in 2..34 {
        assert_eq!(server.put(&path(version), NEW, junk).status, 201);
    }
    let full = server.put(&path(34), NEW, junk);
    assert_eq!((full.status, full.text().contains("32 versions")), (507, true), "{full:?}");
    let large = vec![0; 8 << 20];
    let large = server.put(&format!("/{}", target("a", "x", &large)), NEW, &large);
    assert_eq!((large.status, large.text().contains("8388608 bytes")), (507, true), "{large:?}");
    let small = format!("/{}", target("a", "x", b"small"));
    assert_eq!(server.put(&small, NEW, b"small").status, 201);
    assert_eq!(server.put(&small, NEW, b"small").status, 412);
    assert_eq!(waiting(&server), Some(33));
    let again = server.restarted_with(&["--keep-uncommitted", "0"]);
    wait_until("it is swept", || again.metric("cutover_uncommitted_swept_total") == Some(33));
    assert_eq!(waiting(&again), Some(0));
    assert_eq!((again.get(&path(2), &[]).status, again.get(&small, &[]).status), (404, 404));
    for named in ["timestamp", "1.root", "1.snapshot", "1.targets", "1.channel-stable"] {
        assert_eq!(again.get(&format!("/metadata/{named}.json"), &[]).status, 200, "{named}");
    }
}

/// A file takes more of a disk than its bytes.
#[test]
fn many_small_files_are_bounded_too() {
    let server = Server::start_by(|command| command.args(["--max-uncommitted", "64KiB"]));
    let put = |contents: &str| {
        let path = format!("/{}", target("a", "x", contents.as_bytes()));
        server.put(&path, NEW, contents.as_bytes()).status
    };
    // Each of one byte counts for 8 KiB more.
    assert_eq!(["1", "2", "3", "4", "5", "6", "7"].map(put), [201; 7]);
    assert_eq!(put("8"), 507);
    assert_eq!(put("7"), 412, "it is there");
    assert_eq!(server.metric("cutover_uncommitted_files"), Some(7));
}

#[test]
fn a_file_that_cannot_be_removed_keeps_no_other_from_it() {
    let server = serving(&Made::new(0, 0));
    let paths = [target("a", "x", b"one"), target("b", "x", b"two")];
    for (path, contents) in paths.iter().zip([b"one", b"two"]) {
        assert_eq!(server.put(&format!("/{path}"), NEW, contents).status, 201);
    }
    // Root may remove any file, but no folder as if it were one.
    let first = server.store().join(&paths[0]);
    std::fs::remove_file(&first).unwrap();
    std::fs::create_dir(&first).unwrap();
    let again = server.restarted_with(&["--keep-uncommitted", "0"]);
    wait_until("it is swept", || again.metric("cutover_uncommitted_swept_total") == Some(1));
    assert_eq!(again.metric("cutover_uncommitted_files"), Some(1), "it waits on");
    assert_eq!(again.get(&format!("/{}", paths[1]), &[]).status, 404);
    again.logs("1 uploads that no commit has named cannot be removed");
}

/// Nobody uses an expired role, until it is signed anew with all that is below it by then.
#[test]
fn what_is_below_an_expired_role_is_verified_too() {
    let made = Made::new(0, 0);
    let (server, keys) = (serving(&made), Keys::of(&made));
    let bytes = made.file("metadata/1.targets.json");
    let mut targets: Targets = Draft::from_bytes(&bytes).unwrap().read().unwrap();
    targets.head = Head::new(2, Timestamp::now() - SignedDuration::from_hours(1));
    let pem = std::fs::read_to_string(made.store().join("../keys/targets.pem")).unwrap();
    let mut snapshot = read_snapshot(&made, 1);
    snapshot.head.version = 2;
    snapshot.meta.insert("targets.json".to_owned(), MetaFile::version(2));
    // As if time had gone by.
    let now = keys.timestamp(2, 2);
    let signed = sign(&targets, [&read_plain(&pem).unwrap()]);
    server.place("metadata/2.targets.json", &signed);
    server.place("metadata/2.snapshot.json", &keys.snapshot(&snapshot));
    server.place("metadata/timestamp.json", &now);
    snapshot.head.version = 3;
    assert_eq!(server.put("/metadata/3.snapshot.json", NEW, &keys.snapshot(&snapshot)).status, 201);
    let third = keys.timestamp(3, 3);
    assert_eq!(server.put(TIMESTAMP, &replacing(&now), &third).status, 204, "it adds nothing");
    snapshot.head.version = 4;
    snapshot.meta.insert("channel-stable.json".to_owned(), MetaFile::version(2));
    assert_eq!(server.put("/metadata/4.snapshot.json", NEW, &keys.snapshot(&snapshot)).status, 201);
    let fourth = server.put(TIMESTAMP, &replacing(&third), &keys.timestamp(4, 4));
    refused(&fourth, &["2.channel-stable.json", "not there"]);
}

/// A repository may be published to past the server, too: what is named then stays, though it was noted.
#[test]
fn what_is_named_by_others_is_not_swept() {
    let made = Made::new(1, 0);
    let server = Server::start();
    for path in ["metadata/1.root.json", "metadata/2.snapshot.json", "metadata/1.targets.json"] {
        assert_eq!(server.put(&format!("/{path}"), NEW, &made.file(path)).status, 201, "{path}");
    }
    assert_eq!(server.metric("cutover_uncommitted_files"), Some(2));
    made.give(&server);
    server.place("metadata/timestamp.json", &made.timestamps[1]);
    let again = server.restarted_with(&["--keep-uncommitted", "0"]);
    wait_until("it was looked", || again.metric("cutover_uncommitted_files") == Some(0));
    assert_eq!(again.metric("cutover_uncommitted_swept_total"), Some(0));
    assert_eq!(again.get("/metadata/2.snapshot.json", &[]).status, 200);
}

/// Readers follow whatever root comes next, so that a file with its name is a commit of its own.
#[test]
fn a_root_follows_those_before_it() {
    let made = Made::new(0, 0);
    let server = serving(&made);
    let first = String::from_utf8(made.file("metadata/1.root.json")).unwrap();
    let second = first.replace("\"version\":1", "\"version\":2");
    assert_ne!(first, second);
    refused(&server.put("/metadata/2.root.json", NEW, second.as_bytes()), &["signed by 0"]);
    refused(&server.put("/metadata/2.root.json", NEW, first.as_bytes()), &["2.root.json"]);
    refused(&server.put("/metadata/3.root.json", NEW, second.as_bytes()), &["next root is"]);
    let empty = Server::start();
    refused(&empty.put("/metadata/1.root.json", NEW, second.as_bytes()), &["signed by 0"]);
    refused(&empty.put("/metadata/1.snapshot.json", NEW, second.as_bytes()), &["1.root.json"]);
    refused(&empty.put(TIMESTAMP, NEW, &made.timestamps[0]), &["1.root.json", "not there"]);
    assert_eq!(empty.put("/metadata/1.root.json", NEW, first.as_bytes()).status, 201);
}
