use super::*;
use crate::channel::Pointer;
use crate::digest::Digest;
use crate::keys::Signer;
use crate::layout;
use crate::tuf::json::{Json, Object};
use crate::tuf::key::{Key, Keys};
use crate::tuf::names::{KEY_NAMES, TOP_LEVEL};
use crate::tuf::pattern::Paths;
use crate::tuf::targets::{DelegatedRole, Delegations, Target};
use crate::tuf::verify::{Role, RoleKeys};
use crate::withdrawn::Withdrawn;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(seed: u8) -> Key {
    Signer::from_seed([seed; 32]).public().clone()
}

fn keys(seeds: &[u8]) -> Keys {
    seeds.iter().map(|seed| (key(*seed).id(), key(*seed))).collect()
}

fn who(seeds: &[u8], threshold: u64) -> RoleKeys {
    RoleKeys { keyids: seeds.iter().map(|seed| key(*seed).id()).collect(), threshold }
}

fn head(version: u64) -> Head {
    Head::new(version, time("2031-01-01T00:00:00Z"))
}

fn delegated(name: &str, paths: Paths, terminating: bool) -> DelegatedRole {
    let (name, keys) = (name.to_owned(), who(&[5], 1));
    DelegatedRole { name, keys, paths, terminating, unknown: Object::new() }
}

fn pattern(path: &str) -> Paths {
    Paths::Patterns(vec![path.to_owned().into()])
}

fn channel(name: &str) -> DelegatedRole {
    delegated(&format!("channel-{name}"), pattern(&format!("channels/{name}/*")), true)
}

fn mark(channel: &str, version: &str) -> (String, Target) {
    let (channel, product) = (channel.parse().unwrap(), "weave".parse().unwrap());
    let version = version.parse().unwrap();
    let path = layout::withdrawn(&channel, &product, &version);
    let mark = Withdrawn::new(channel, product, version, "bad".to_owned()).to_bytes();
    let custom = [("reason", Json::from("bad"))].into_iter().collect();
    (path, Target::new(mark.len() as u64, Digest::of(&mark), Some(custom)))
}

fn pointer(channel: &str, version: &str) -> (String, Target) {
    let (channel, product) = (channel.parse().unwrap(), "weave".parse().unwrap());
    let path = layout::channel(&channel, &product);
    let pointer = Pointer::new(channel, product, version.parse().unwrap(), Digest::of(b"x"));
    let bytes = pointer.to_bytes();
    (path, Target::new(bytes.len() as u64, Digest::of(&bytes), Some(pointer.hint())))
}

/// A repository like those that `pack repo init` makes, with two channels; all roles at version 3.
fn base() -> Base {
    let role = |seeds: &[u8]| Role { keys: who(seeds, 1), unknown: Object::new() };
    let root = Root {
        head: head(3),
        consistent_snapshot: true,
        keys: keys(&[1, 2, 3, 4]),
        roles: TOP_LEVEL
            .into_iter()
            .zip([1, 4, 3, 2])
            .map(|(name, seed)| (name.to_owned(), role(&[seed])))
            .collect(),
        unknown: Object::new(),
    };
    let bins = (0..=255_u8).map(|bin| {
        let prefix = format!("{bin:02x}");
        delegated(&format!("releases-{prefix}"), Paths::HashPrefixes(vec![prefix]), false)
    });
    let top = vec![
        channel("next"),
        channel("stable"),
        delegated("branches", pattern("channels/b.*/*"), false),
        delegated("releases", pattern("releases/*/*/*"), false),
    ];
    let all = |roles| {
        let delegations = Delegations { keys: keys(&[5]), roles, unknown: Object::new() };
        Targets::new(head(3), Some(delegations))
    };
    let mut stable = Targets::new(head(3), None);
    stable.targets.extend([mark("stable", "1.0.0"), pointer("stable", "1.1.0")]);
    let roles = [
        ("targets", all(top)),
        ("releases", all(bins.collect())),
        ("channel-stable", stable),
        ("channel-next", Targets::new(head(3), None)),
        ("branches", Targets::new(head(3), None)),
        ("releases-0f", Targets::new(head(3), None)),
    ];
    let roles: BTreeMap<_, _> =
        roles.into_iter().map(|(role, targets)| (role.to_owned(), targets)).collect();
    Base { root, versions: roles.keys().map(|role| (role.clone(), 3)).collect(), roles }
}

fn look(base: Option<&Base>, documents: &[Document]) -> Result<Review, Objections> {
    review(base, documents, time("2026-12-01T00:00:00Z"))
}

fn root(change: impl FnOnce(&mut Root)) -> Document {
    let mut root = base().root;
    root.head.version = 4;
    change(&mut root);
    Document::new("root".to_owned(), 3, Draft::new(&root))
}

fn role(name: &str, change: impl FnOnce(&mut Targets)) -> Document {
    let mut targets = base().roles[name].clone();
    targets.head.version = 4;
    change(&mut targets);
    Document::new(name.to_owned(), 3, Draft::new(&targets))
}

fn delegations(targets: &mut Targets) -> &mut Delegations {
    targets.delegations.as_mut().unwrap()
}

/// What is shown of one file, line by line.
#[track_caller]
fn shown(document: Document) -> Vec<String> {
    let review = look(Some(&base()), &[document]).unwrap();
    review.roles[0].differences.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(documents: &[Document], words: &str) {
    let objections = look(Some(&base()), documents).unwrap_err();
    let all: Vec<_> = objections.0.iter().map(ToString::to_string).collect();
    assert!(all.iter().any(|one| one.contains(words)), "no `{words}` in {all:#?}");
    assert_eq!(crate::exit::Explain::exit(&objections), crate::exit::Exit::NotTrusted);
}

#[test]
fn nothing_but_versions_and_expiry() {
    for name in ["targets", "releases", "channel-stable", "releases-0f", "branches"] {
        assert_eq!(shown(role(name, |_| {})), [""; 0], "{name}");
    }
    let review =
        look(Some(&base()), &[root(|root| root.head.expires = time("2032-01-01T00:00:00Z"))]);
    let of_root = &review.unwrap().roles[0];
    assert_eq!((of_root.base, of_root.version), (3, 4));
    assert_eq!(of_root.expires, time("2032-01-01T00:00:00Z"));
    assert_eq!(of_root.expires_before, Some(time("2031-01-01T00:00:00Z")));
}

#[test]
fn keys_and_thresholds_by_their_full_ids_and_owners() {
    let add = |root: &mut Root| {
        root.keys.extend(keys(&[9]));
        let role = root.roles.get_mut("targets").unwrap();
        role.keys = who(&[2, 9], 2);
        let names = [("anna", key(9).id())].map(|(name, id)| (id, Json::from(name)));
        root.unknown.insert(KEY_NAMES.to_owned(), Json::Object(names.into()));
    };
    let (id, public) = (key(9).id(), key(9).public_hex().unwrap());
    let expected = [
        "targets takes 2 signatures of 2 keys, before 1".to_owned(),
        format!("targets may be signed by key {id} of anna (public key {public})"),
    ];
    assert_eq!(shown(root(add)), expected);
    let swap = |root: &mut Root| {
        root.keys = keys(&[1, 3, 4, 9]);
        root.roles.get_mut("targets").unwrap().keys = who(&[9], 1);
    };
    let lines = shown(root(swap));
    assert!(lines[0].starts_with(&format!("targets may be signed by key {id} (")), "{lines:?}");
    assert!(lines[1].contains(&format!("no longer be signed by key {}", key(2).id())), "{lines:?}");
    let renamed = |targets: &mut Targets| {
        let names = Json::Object([(key(5).id(), Json::from("bert"))].into());
        delegations(targets).unknown.insert(KEY_NAMES.to_owned(), names);
    };
    assert!(shown(role("targets", renamed))[0].ends_with("is called bert, before nobody"));
    let all_bins = |targets: &mut Targets| {
        delegations(targets).keys.extend(keys(&[9]));
        delegations(targets).roles.iter_mut().for_each(|bin| bin.keys = who(&[5, 9], 1));
    };
    let lines = shown(role("releases", all_bins));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("each of releases-00 to releases-ff may be signed by"));
}

#[test]
fn targets_that_come_or_change() {
    let point = |targets: &mut Targets| targets.targets.extend([pointer("stable", "1.2.0")]);
    let lines = shown(role("channel-stable", point));
    assert!(
        lines[0].starts_with("channels/stable/weave.json: weave 1.2.0, descriptor 2d71"),
        "{lines:?}"
    );
    assert!(lines[0].contains("before: weave 1.1.0"), "{lines:?}");
    let withdraw = |targets: &mut Targets| targets.targets.extend([mark("stable", "1.1.0")]);
    let lines = shown(role("channel-stable", withdraw));
    assert!(lines[0].contains("weave 1.1.0 is withdrawn: bad"), "{lines:?}");
}

#[test]
fn a_channel_that_comes_and_one_that_goes() {
    let add = |targets: &mut Targets| delegations(targets).roles.insert(2, channel("train"));
    let first =
        Document::new("channel-train".to_owned(), 0, Draft::new(&Targets::new(head(1), None)));
    let review = look(Some(&base()), &[role("targets", add), first]).unwrap();
    let lines: Vec<_> = review.roles[0].differences.iter().map(ToString::to_string).collect();
    let new =
        "new role channel-train for channels/train/*, and nobody after it; behind channel-stable";
    assert_eq!(lines[0], new);
    refused(&[role("targets", add)], "of which nothing is signed");
    let remove = |gone: &'static str| {
        move |targets: &mut Targets| delegations(targets).roles.retain(|role| role.name != gone)
    };
    assert_eq!(shown(role("targets", remove("channel-next"))), ["role channel-next is gone"]);
    refused(&[role("targets", remove("channel-stable"))], "goes the withdrawal of weave 1.0.0");
    refused(&[role("targets", remove("releases"))], "no longer trusts releases");
}

#[test]
fn roots_that_pack_never_makes() {
    let (old, new) = (key(2).id(), key(9));
    let swapped = root(|root| drop(root.keys.insert(old, new)));
    refused(std::slice::from_ref(&swapped), "and its id is");
    // Nor where nothing is known of the repository.
    assert!(look(None, &[swapped]).is_err());
    refused(&[root(|root| root.consistent_snapshot = false)], "consistent_snapshot");
    refused(&[root(|root| root.head.version = 5)], "does not follow version 3");
    refused(&[root(|root| root.head.expires = time("2026-01-01T00:00:00Z"))], "expired at");
    refused(&[root(|root| root.keys.extend(keys(&[9])))], "signs for nothing");
    let unlisted = |root: &mut Root| root.roles.get_mut("root").unwrap().keys = who(&[1, 9], 1);
    refused(&[root(unlisted)], "which it does not list");
    let too_many = |root: &mut Root| root.roles.get_mut("root").unwrap().keys.threshold = 2;
    refused(&[root(too_many)], "2 signatures of 1 keys cannot be");
    let field = |root: &mut Root| drop(root.unknown.insert("x-more".to_owned(), Json::Null));
    refused(&[root(field)], "x-more");
    let names = |root: &mut Root| drop(root.unknown.insert(KEY_NAMES.to_owned(), Json::Int(1)));
    refused(&[root(names)], KEY_NAMES);
    let earlier = Document { base: 2, ..root(|root| root.head.version = 3) };
    refused(&[earlier], "was made from version 2, and 3 is trusted");
}

#[test]
fn delegations_that_pack_never_makes() {
    let add = |at: usize, role: DelegatedRole| {
        self::role("targets", move |targets| delegations(targets).roles.insert(at, role))
    };
    let foreign = "which pack never does";
    refused(&[add(0, delegated("helper", pattern("releases/*/*/*"), false))], foreign);
    refused(&[add(2, delegated("channel-x", pattern("channels/stable/*"), true))], foreign);
    refused(&[add(2, delegated("channel-x", pattern("channels/x/*"), false))], foreign);
    refused(
        &[add(2, delegated("releases-0f", Paths::HashPrefixes(vec!["0".into()]), false))],
        foreign,
    );
    refused(&[add(0, channel("x"))], "nothing is signed");
    refused(&[add(4, channel("x"))], "in another order");
    let swapped = |targets: &mut Targets| delegations(targets).roles.swap(0, 1);
    refused(&[role("targets", swapped)], "in another order");
    let wider =
        |targets: &mut Targets| delegations(targets).roles[0].paths = pattern("channels/*/*");
    refused(&[role("targets", wider)], foreign);
    let open = |targets: &mut Targets| delegations(targets).roles[0].terminating = false;
    refused(&[role("targets", open)], foreign);
    let one_bin = |targets: &mut Targets| {
        delegations(targets).keys.extend(keys(&[9]));
        delegations(targets).roles[7].keys = who(&[5, 9], 1);
    };
    refused(&[role("releases", one_bin)], "other keys than the others");
    let no_bin = |targets: &mut Targets| drop(delegations(targets).roles.remove(7));
    refused(&[role("releases", no_bin)], "no longer trusts releases-07");
    let below =
        |targets: &mut Targets| targets.delegations = base().roles["targets"].delegations.clone();
    refused(&[role("channel-stable", below)], "delegates to other roles");
    let other = Document::new("helper".to_owned(), 0, Draft::new(&Targets::new(head(1), None)));
    refused(&[other], "is no role that a change can be of");
    let unknown =
        Document::new("channel-x".to_owned(), 0, Draft::new(&Targets::new(head(1), None)));
    refused(&[unknown], "targets does not trust it");
}

#[test]
fn targets_that_pack_never_vouches_for() {
    let with = |name: &str, (path, target): (String, Target)| {
        role(name, move |targets| drop(targets.targets.insert(path, target)))
    };
    let file = || Target::new(1, Digest::of(b"x"), None);
    refused(&[with("targets", ("x".to_owned(), file()))], "has no place in it");
    refused(&[with("channel-stable", pointer("next", "1.0.0"))], "has no place in it");
    refused(&[with("releases-0f", ("releases/weave/1.0.0/x".to_owned(), file()))], "has no place");
    refused(
        &[with("channel-stable", ("channels/stable/weave.json".to_owned(), file()))],
        "is not what",
    );
    // What is noted says another release than the file does.
    let (path, target) = pointer("stable", "1.2.0");
    let lying = Target { custom: pointer("stable", "1.3.0").1.custom, ..target };
    refused(&[with("channel-stable", (path, lying))], "is not what is noted of it");
    let gone = |path: String| role("channel-stable", move |all| drop(all.targets.remove(&path)));
    refused(&[gone(mark("stable", "1.0.0").0)], "leaves out the withdrawal");
    refused(&[gone(pointer("stable", "1.0.0").0)], "leaves out channels/stable/weave.json");
    let (path, _) = mark("stable", "1.0.0");
    let (_, other) = mark("stable", "1.3.0");
    refused(&[with("channel-stable", (path, other))], "replaces channels/stable/weave.1.0.0");
}

/// Whatever a file says beyond what is compared would be signed without having been seen.
#[test]
fn what_is_not_read_is_not_signed() {
    let document = role("channel-stable", |_| {});
    let text = String::from_utf8(document.draft.to_bytes()).unwrap();
    for (from, to) in [
        ("\"sha256\":", "\"md5\":\"00\",\"sha256\":"),
        ("\"version\":4", "\"version\":4,\"x-note\":\"hello\""),
    ] {
        let bytes = text.replacen(from, to, 1);
        assert_ne!(bytes, text);
        let draft = Draft::from_bytes(bytes.as_bytes()).unwrap();
        let changed = Document::new("channel-stable".to_owned(), 3, draft);
        assert!(look(Some(&base()), &[changed]).is_err(), "{to}");
    }
}

#[test]
fn without_a_base_everything_is_shown() {
    let documents = [
        root(|_| {}),
        role("targets", |_| {}),
        role("releases", |_| {}),
        role("channel-stable", |_| {}),
    ];
    let review = look(None, &documents).unwrap();
    let lines = review.roles.iter().flat_map(|role| &role.differences);
    let lines: Vec<_> = lines.map(ToString::to_string).collect();
    for words in [
        &key(1).id()[..],
        &key(5).id(),
        "new role branches",
        "each of releases-00",
        "weave 1.1.0, ",
        "withdrawn: bad",
    ] {
        assert!(lines.iter().any(|line| line.contains(words)), "no `{words}` in {lines:#?}");
    }
}
