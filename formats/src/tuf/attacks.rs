//! What an attacking repository tries, against the pure workflow.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp as Time;

use super::json::{Json, Object};
use super::metadata::{Head, Signed, Verified, envelope};
use super::pattern::Paths;
use super::refusal::Refusal;
use super::root::Root;
use super::search::{MOST_ROLES, Search, Step};
use super::snapshot::{MetaFile, Snapshot};
use super::targets::{DelegatedRole, Delegations, Target, Targets};
use super::timestamp::Timestamp;
use super::trusted::{Copy, Delegator, Roots, Snapshots, Stored, Trusted};
use super::verify::{Role, RoleKeys};
use crate::digest::Digest;
use crate::keys::{Signer, sign};

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn now() -> Time {
    time("2030-01-01T00:00:00Z")
}

fn later() -> Time {
    time("2031-01-01T00:00:00Z")
}

fn key(seed: u8) -> Signer {
    Signer::from_seed([seed; 32])
}

fn head(version: u64) -> Head {
    Head::new(version, later())
}

fn role_keys(signers: &[&Signer], threshold: u64) -> RoleKeys {
    RoleKeys { keyids: signers.iter().map(|one| one.id().to_owned()).collect(), threshold }
}

fn keys(signers: &[&Signer]) -> super::key::Keys {
    signers.iter().map(|one| (one.id().to_owned(), one.public().clone())).collect()
}

/// A root whose roles all have the one key, except those in `other`.
fn root(version: u64, main: &Signer, other: &[(&str, &[&Signer], u64)]) -> Root {
    let mut all = vec![main];
    let mut roles = BTreeMap::new();
    for name in super::names::TOP_LEVEL {
        let (signers, threshold) = other
            .iter()
            .find(|(role, ..)| *role == name)
            .map_or((vec![main], 1), |(_, signers, threshold)| (signers.to_vec(), *threshold));
        let role = Role { keys: role_keys(&signers, threshold), unknown: Object::new() };
        roles.insert(name.to_owned(), role);
        all.extend(signers);
    }
    let unknown = Object::new();
    Root { head: head(version), consistent_snapshot: true, keys: keys(&all), roles, unknown }
}

fn snapshot(version: u64, roles: &[(&str, u64)]) -> Snapshot {
    let meta = roles.iter().map(|(role, v)| (format!("{role}.json"), MetaFile::version(*v)));
    Snapshot { head: head(version), meta: meta.collect(), unknown: Object::new() }
}

fn timestamp(version: u64, snapshot: u64) -> Timestamp {
    let unknown = Object::new();
    Timestamp { head: head(version), snapshot: MetaFile::version(snapshot), unknown }
}

fn roots(main: &Signer) -> Roots {
    Roots::pinned(&sign(&root(1, main, &[]), [main])).unwrap()
}

fn snapshots(main: &Signer, named: u64) -> Snapshots {
    let stage = roots(main).finish(now()).unwrap();
    stage.accept(&sign(&timestamp(1, named), [main])).unwrap().0
}

fn trusted(main: &Signer, roles: &[(&str, u64)]) -> Trusted {
    snapshots(main, 1).accept(&sign(&snapshot(1, roles), [main])).unwrap()
}

fn target(text: &str) -> Target {
    Target::new(text.len() as u64, Digest::of(text.as_bytes()), None)
}

fn delegation(name: &str, signer: &Signer, pattern: &str, terminating: bool) -> DelegatedRole {
    DelegatedRole {
        name: name.to_owned(),
        keys: role_keys(&[signer], 1),
        paths: Paths::Patterns(vec![pattern.to_owned().into()]),
        terminating,
        unknown: Object::new(),
    }
}

fn delegating(signer: &Signer, roles: Vec<DelegatedRole>) -> Option<Delegations> {
    Some(Delegations { keys: keys(&[signer]), roles, unknown: Object::new() })
}

/// The signed file of `signed`, with its value changed first.
fn tampered<T: Signed>(signed: &T, signer: &Signer, change: impl FnOnce(&mut Object)) -> Vec<u8> {
    let Json::Object(mut fields) = signed.to_json() else { unreachable!() };
    change(&mut fields);
    let value = Json::Object(fields);
    let signature = signer.sign(&super::canonical::to_canonical(&value));
    envelope(value, &[signature])
}

#[test]
fn row_1_and_3_expiry_counts_for_the_last_root_only() {
    let main = key(1);
    let mut first = root(1, &main, &[]);
    first.head.expires = time("2029-01-01T00:00:00Z");
    let mut stage = Roots::pinned(&sign(&first, [&main])).unwrap();
    assert!(matches!(stage.clone().finish(now()), Err(Refusal::Expired { .. })));
    assert_eq!(stage.step(&sign(&root(2, &main, &[]), [&main])), Ok(Stored::Kept));
    assert!(stage.clone().finish(now()).is_ok());
    // At the very moment it is too late.
    assert!(matches!(stage.finish(later()), Err(Refusal::Expired { .. })));
}

#[test]
fn row_2_a_root_is_signed_by_the_one_before_and_by_itself() {
    let (old, new) = (key(1), key(2));
    let next = root(2, &new, &[]);
    let refused = |bytes: &[u8]| roots(&old).step(bytes).unwrap_err();
    assert!(matches!(refused(&sign(&next, [&new])), Refusal::Signatures { .. }));
    assert!(matches!(refused(&sign(&next, [&old])), Refusal::Signatures { .. }));
    assert_eq!(roots(&old).step(&sign(&next, [&old, &new])), Ok(Stored::Dropped));
    for version in [1, 3] {
        let other = sign(&root(version, &old, &[]), [&old]);
        assert!(matches!(refused(&other), Refusal::Version { expected: 2, .. }));
    }
    // What was refused leaves the chain where it was.
    let mut stage = roots(&old);
    assert!(stage.step(&sign(&next, [&new])).is_err());
    assert_eq!(stage.next_version(), 2);
}

#[test]
fn row_4_thresholds_count_distinct_keys() {
    let (a, b, c) = (key(1), key(2), key(3));
    let pinned = |threshold, signers: &[&Signer]| {
        let root = root(1, &a, &[("root", &[&a, &b], threshold)]);
        Roots::pinned(&sign(&root, signers.iter().copied()))
    };
    assert!(pinned(2, &[&a, &b]).is_ok());
    assert!(pinned(2, &[&a, &c]).is_err(), "an unauthorised key does not count");
    assert!(pinned(1, &[&c, &b]).is_ok(), "nor does it hurt");
    assert!(pinned(2, &[&a, &a]).is_err(), "one key id twice is refused");
    assert!(pinned(1, &[&a, &a]).is_err(), "even where one would do");
    assert!(pinned(0, &[&a]).is_err(), "a threshold of none is refused");
}

#[test]
fn row_4_the_same_key_under_two_ids_is_one_key() {
    let a = key(1);
    let mut root = root(1, &a, &[]);
    root.keys.insert("alias".to_owned(), a.public().clone());
    let role = &mut root.roles.get_mut("root").unwrap().keys;
    role.keyids.push("alias".to_owned());
    role.threshold = 2;
    let message = super::canonical::to_canonical(&root.to_json());
    let mut alias = a.sign(&message);
    alias.keyid = "alias".to_owned();
    let file = envelope(root.to_json(), &[a.sign(&message), alias]);
    assert!(matches!(Roots::pinned(&file), Err(Refusal::Signatures { signed: 1, .. })));
}

#[test]
fn row_4_a_bad_signature_beside_good_ones_is_no_matter() {
    let (a, b) = (key(1), key(2));
    let root = root(1, &a, &[("root", &[&a, &b], 1)]);
    let message = super::canonical::to_canonical(&root.to_json());
    for sig in ["", "zz", "00", &"00".repeat(64)] {
        let mut bad = b.sign(&message);
        sig.clone_into(&mut bad.sig);
        let file = envelope(root.to_json(), &[bad, a.sign(&message)]);
        assert!(Roots::pinned(&file).is_ok(), "{sig:?}");
    }
}

#[test]
fn row_5_new_timestamp_or_snapshot_keys_drop_what_is_stored() {
    let (main, other) = (key(1), key(2));
    for role in ["timestamp", "snapshot"] {
        let next = root(2, &main, &[(role, &[&other], 1)]);
        assert_eq!(roots(&main).step(&sign(&next, [&main])), Ok(Stored::Dropped), "{role}");
    }
    let next = root(2, &main, &[("targets", &[&other], 1)]);
    assert_eq!(roots(&main).step(&sign(&next, [&main])), Ok(Stored::Kept));
}

#[test]
fn row_6_timestamps_do_not_go_back() {
    let main = key(1);
    let accept = |stored: &Timestamp, received: &Timestamp| {
        let mut stage = roots(&main).finish(now()).unwrap();
        stage.floor(&sign(stored, [&main])).unwrap();
        stage.accept(&sign(received, [&main])).map(|(stage, copy)| (stage.wanted().version, copy))
    };
    let floor = timestamp(5, 7);
    assert!(matches!(accept(&floor, &timestamp(4, 7)), Err(Refusal::Rollback { .. })));
    assert!(matches!(accept(&floor, &timestamp(6, 6)), Err(Refusal::Rollback { .. })));
    assert_eq!(accept(&floor, &timestamp(5, 99)), Ok((7, Copy::Stored)));
    assert_eq!(accept(&floor, &timestamp(6, 8)), Ok((8, Copy::Received)));
    // An expired floor is a floor.
    let mut expired = floor;
    expired.head.expires = time("2029-01-01T00:00:00Z");
    assert!(matches!(accept(&expired, &timestamp(4, 7)), Err(Refusal::Rollback { .. })));
    assert!(matches!(accept(&expired, &timestamp(5, 7)), Err(Refusal::Expired { .. })));
    assert_eq!(accept(&expired, &timestamp(6, 7)), Ok((7, Copy::Received)));
}

#[test]
fn row_7_the_snapshot_is_the_one_that_the_timestamp_names() {
    let main = key(1);
    let file = sign(&snapshot(2, &[("targets", 1)]), [&main]);
    assert!(matches!(
        snapshots(&main, 1).accept(&file),
        Err(Refusal::Version { expected: 1, found: 2, .. })
    ));
    let with = |change: &dyn Fn(&mut MetaFile)| {
        let mut stamp = timestamp(1, 2);
        change(&mut stamp.snapshot);
        let stage = roots(&main).finish(now()).unwrap();
        stage.accept(&sign(&stamp, [&main])).unwrap().0.accept(&file).map(drop)
    };
    let length = |length| move |meta: &mut MetaFile| meta.length = Some(length);
    let of = |bytes: &'static [u8]| {
        move |meta: &mut MetaFile| {
            meta.hashes = Some(super::fields::Hashes::sha256(Digest::of(bytes)));
        }
    };
    assert!(matches!(with(&length(1)), Err(Refusal::Length { .. })));
    assert!(matches!(with(&of(b"another")), Err(Refusal::Digest { .. })));
    assert_eq!(with(&length(file.len() as u64)), Ok(()));
}

#[test]
fn row_8_no_role_goes_back_or_disappears() {
    let main = key(1);
    let accept = |stored: Snapshot, received: &[(&str, u64)]| {
        let mut stage = snapshots(&main, 9);
        stage.floor(&sign(&stored, [&main])).unwrap();
        stage.accept(&sign(&snapshot(9, received), [&main])).map(drop)
    };
    let stored = snapshot(3, &[("targets", 4), ("releases", 2)]);
    let gone = accept(stored.clone(), &[("targets", 4)]);
    assert!(matches!(gone, Err(Refusal::Removed { role }) if role == "releases"));
    let back = accept(stored.clone(), &[("targets", 3), ("releases", 2)]);
    assert!(matches!(back, Err(Refusal::Rollback { trusted: 4, found: 3, .. })));
    assert_eq!(accept(stored.clone(), &[("targets", 4), ("releases", 2), ("new", 1)]), Ok(()));
    // Expired, and not what any timestamp names any more: a floor all the same.
    let mut expired = stored;
    expired.head.expires = time("2029-01-01T00:00:00Z");
    assert!(accept(expired, &[("targets", 3), ("releases", 2)]).is_err());
    // The snapshot's own version does not fall either.
    let newer = accept(snapshot(10, &[("targets", 1)]), &[("targets", 1)]);
    assert!(matches!(newer, Err(Refusal::Rollback { .. })));
}

#[test]
fn row_8_a_floor_of_other_keys_is_none() {
    let (main, thief) = (key(1), key(2));
    let mut stage = snapshots(&main, 1);
    assert!(stage.floor(&sign(&snapshot(99, &[("targets", 99)]), [&thief])).is_err());
    assert!(stage.accept(&sign(&snapshot(1, &[("targets", 1)]), [&main])).is_ok());
}

#[test]
fn row_9_targets_are_signed_current_and_unexpired() {
    let (main, other) = (key(1), key(2));
    let moment = trusted(&main, &[("targets", 2)]);
    let role = |targets: &Targets, signer| {
        moment.role("targets", Delegator::Root, &sign(targets, [signer])).map(drop)
    };
    assert_eq!(role(&Targets::new(head(2), None), &main), Ok(()));
    assert!(matches!(role(&Targets::new(head(2), None), &other), Err(Refusal::Signatures { .. })));
    assert!(matches!(role(&Targets::new(head(1), None), &main), Err(Refusal::Version { .. })));
    let expired = Head::new(2, now());
    assert!(matches!(role(&Targets::new(expired, None), &main), Err(Refusal::Expired { .. })));
}

/// A search over roles that are all there; gives the roles it asked for, too.
fn search(
    path: &str,
    roles: &BTreeMap<&str, Targets>,
) -> (Result<Option<Target>, Refusal>, Vec<String>) {
    let mut asked = Vec::new();
    let mut search = Search::new(path).unwrap();
    loop {
        match search.step() {
            Err(refusal) => return (Err(refusal), asked),
            Ok(Step::Absent) => return (Ok(None), asked),
            Ok(Step::Found(target)) => return (Ok(Some(target)), asked),
            Ok(Step::Need(edge)) => {
                let role = roles[edge.role.as_str()].clone();
                asked.push(edge.role);
                search.supply(&Arc::new(Verified { value: role, keyids: Vec::new() }));
            }
        }
    }
}

fn role(targets: &[(&str, &str)], delegations: Option<Delegations>) -> Targets {
    let mut role = Targets::new(head(1), delegations);
    role.targets = targets.iter().map(|(path, text)| ((*path).to_owned(), target(text))).collect();
    role
}

#[test]
fn row_10_order_scope_and_terminating() {
    let main = key(1);
    let to = |name, pattern, terminating| delegation(name, &main, pattern, terminating);
    let roles = BTreeMap::from([
        (
            "targets",
            role(
                &[],
                delegating(
                    &main,
                    vec![
                        to("first", "a/*", false),
                        to("locked", "locked/*", true),
                        to("last", "*/*", false),
                    ],
                ),
            ),
        ),
        ("first", role(&[("b/x", "outside")], delegating(&main, vec![to("deep", "*/*", false)]))),
        ("deep", role(&[("a/deep", "deep"), ("b/x", "outside")], None)),
        ("locked", role(&[("locked/x", "locked")], None)),
        ("last", role(&[("a/deep", "late"), ("a/y", "y"), ("b/x", "x"), ("locked/y", "no")], None)),
    ]);
    let found = |path| {
        let (found, asked) = search(path, &roles);
        (found.unwrap(), asked.join(" "))
    };
    assert_eq!(found("a/deep"), (Some(target("deep")), "targets first deep".to_owned()));
    assert_eq!(found("a/y"), (Some(target("y")), "targets first deep last".to_owned()));
    // `first` and `deep` speak of b/x, and are not asked: the path is not theirs.
    assert_eq!(found("b/x"), (Some(target("x")), "targets last".to_owned()));
    assert_eq!(found("locked/x"), (Some(target("locked")), "targets locked".to_owned()));
    assert_eq!(found("locked/y"), (None, "targets locked".to_owned()));
    assert_eq!(found("c/d/e"), (None, "targets".to_owned()));
}

#[test]
fn row_10_circles_end_and_floods_are_refused() {
    let main = key(1);
    let circle = |to| role(&[], delegating(&main, vec![delegation(to, &main, "*", false)]));
    let roles = BTreeMap::from([("targets", circle("a")), ("a", circle("b")), ("b", circle("a"))]);
    assert_eq!(search("x", &roles), (Ok(None), vec!["targets".into(), "a".into(), "b".into()]));

    let names: Vec<_> = (0..100).map(|n| format!("r{n}")).collect();
    let all = names.iter().map(|name| delegation(name, &main, "*", false)).collect();
    let mut roles = BTreeMap::from([("targets", role(&[], delegating(&main, all)))]);
    roles.extend(names.iter().map(|name| (name.as_str(), role(&[], None))));
    let (found, asked) = search("x", &roles);
    assert!(matches!(found, Err(Refusal::TooManyRoles { .. })));
    assert_eq!(asked.len(), MOST_ROLES);
}

#[test]
fn row_11_a_delegated_role_stands_on_its_delegator_s_word() {
    let (main, other) = (key(1), key(2));
    let moment = trusted(&main, &[("targets", 1), ("a", 1)]);
    let top = |signer| {
        let roles = vec![delegation("a", signer, "*", false)];
        sign(&role(&[], delegating(signer, roles)), [&main])
    };
    let by = |delegator: &[u8], bytes: &[u8], name: &str| {
        let top = moment.role("targets", Delegator::Root, delegator)?;
        moment.role(name, Delegator::Role(&top), bytes).map(drop)
    };
    let file = sign(&role(&[], None), [&other]);
    assert_eq!(by(&top(&other), &file, "a"), Ok(()));
    assert!(matches!(by(&top(&main), &file, "a"), Err(Refusal::Signatures { .. })));
    assert!(matches!(by(&top(&other), &file, "b"), Err(Refusal::NotInSnapshot { .. })));
    for name in super::names::TOP_LEVEL {
        let roles = vec![delegation(name, &main, "*", false)];
        let bad = sign(&role(&[], delegating(&main, roles)), [&main]);
        let refused = moment.role("targets", Delegator::Root, &bad);
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{name}");
    }
}

#[test]
fn row_14_types_versions_and_unknown_fields() {
    let main = key(1);
    let pinned = |change: &dyn Fn(&mut Object)| {
        Roots::pinned(&tampered(&root(1, &main, &[]), &main, |fields| change(fields)))
    };
    let set = |key: &'static str, value: Json| {
        move |fields: &mut Object| drop(fields.insert(key.to_owned(), value.clone()))
    };
    let extra = pinned(&set("x-unknown", Json::Array(vec![Json::Null]))).unwrap();
    assert_eq!(extra.root().unknown["x-unknown"], Json::Array(vec![Json::Null]));
    assert_eq!(extra.root().to_json(), {
        let Json::Object(mut fields) = root(1, &main, &[]).to_json() else { unreachable!() };
        fields.insert("x-unknown".to_owned(), Json::Array(vec![Json::Null]));
        Json::Object(fields)
    });
    assert!(pinned(&set("spec_version", "1.999".into())).is_ok());
    let bad: [(&str, Json); 9] = [
        ("_type", "targets".into()),
        ("spec_version", "2.0.0".into()),
        ("spec_version", "1.x".into()),
        ("version", Json::Int(0)),
        ("version", Json::Int(-1)),
        ("version", "1".into()),
        ("expires", "2031-01-01T00:00:00+00:00".into()),
        ("expires", "2031-01-01".into()),
        ("roles", Json::Object(Object::new())),
    ];
    for (key, value) in bad {
        let refused = pinned(&set(key, value.clone()));
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{key}: {value:?}");
    }
}

#[test]
fn row_14_a_changed_value_is_not_what_was_signed() {
    let main = key(1);
    let file = String::from_utf8(sign(&root(1, &main, &[]), [&main])).unwrap();
    let changed = file.replace("\"version\":1", "\"version\":2");
    assert!(matches!(Roots::pinned(changed.as_bytes()), Err(Refusal::Signatures { .. })));
    let spaced = file.replace("\":", "\" :  ");
    assert!(Roots::pinned(spaced.as_bytes()).is_ok(), "white space is not part of the value");
    let twice = file.replace("\"version\":1", "\"version\":1,\"version\":1");
    assert!(matches!(Roots::pinned(twice.as_bytes()), Err(Refusal::Malformed(_))));
    for cut in 0..file.len() {
        assert!(Roots::pinned(&file.as_bytes()[..cut]).is_err());
    }
}

#[test]
fn row_15_target_paths_are_confined() {
    for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\0b", "a\\b", "a\nb"] {
        assert!(matches!(Search::new(bad), Err(Refusal::UnsafeTarget { .. })), "{bad:?}");
    }
    assert!(Search::new("a b/ü/..c").is_ok());
}

#[test]
fn a_publisher_s_successor_is_judged_like_a_snapshot() {
    let (main, other) = (key(1), key(2));
    let moment = trusted(&main, &[("targets", 2)]);
    let next =
        |snapshot: &Snapshot, signer| moment.successor(2, &sign(snapshot, [signer])).map(drop);
    assert_eq!(next(&snapshot(2, &[("targets", 3)]), &main), Ok(()));
    assert!(next(&snapshot(2, &[("targets", 3)]), &other).is_err());
    assert!(next(&snapshot(2, &[("targets", 1)]), &main).is_err());
    assert!(next(&snapshot(2, &[]), &main).is_err());
    assert!(next(&snapshot(3, &[("targets", 3)]), &main).is_err());
}
