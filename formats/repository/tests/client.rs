//! The update client against repositories that attack, forget or lie.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "client/waiting.rs"]
mod waiting;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::sync::Mutex;

use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::keys::{Signer, sign};
use cutover_formats::layout;
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::key::Keys;
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names::TOP_LEVEL;
use cutover_formats::tuf::pattern::Paths;
use cutover_formats::tuf::refusal::Refusal;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::snapshot::{MetaFile, Snapshot};
use cutover_formats::tuf::targets::{DelegatedRole, Delegations, Target, Targets};
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_formats::tuf::verify::{Role, RoleKeys};
use cutover_repository::client::{Client, TrustError, caps};
use cutover_repository::store::{Read, StoreError};

/// A repository in memory that remembers what it was asked for.
#[derive(Default)]
struct Mirror {
    files: BTreeMap<String, Vec<u8>>,
    broken: Option<String>,
    /// Keeps everything from us that it does not have, as object stores do.
    may_not_be_listed: bool,
    asked: Mutex<Vec<String>>,
}

impl Mirror {
    fn asked(&self) -> String {
        std::mem::take(&mut *self.asked.lock().unwrap()).join(" ").replace("metadata/", "")
    }
}

impl Read for Mirror {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        self.asked.lock().unwrap().push(path.to_owned());
        let what = path.to_owned();
        if self.broken.as_deref() == Some(path) {
            return Err(StoreError::Unreachable { what, why: "a test".to_owned() });
        }
        let Some(bytes) = self.files.get(path) else {
            if self.may_not_be_listed {
                let (why, hint) = ("403".to_owned(), String::new());
                return Err(StoreError::Forbidden { what, why, hint });
            }
            return Err(StoreError::NotFound { what });
        };
        if bytes.len() as u64 > cap {
            return Err(StoreError::TooLarge { what, cap });
        }
        Ok(bytes.clone())
    }

    fn stream(
        &self,
        path: &str,
        _from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        Ok(Box::new(Cursor::new(self.get(path, cap)?)))
    }

    fn describe(&self) -> String {
        "the mirror".to_owned()
    }
}

/// Who signs a repository, and at which versions it is.
struct Vendor {
    key: Signer,
    online: Signer,
    root: u64,
    timestamp: u64,
    snapshot: u64,
    targets: u64,
    /// Target paths and contents of the one delegated role, `team`.
    team: BTreeMap<String, Vec<u8>>,
    team_key: Signer,
}

const FILE: &str = "releases/weave/1.0.0/release.json";

impl Vendor {
    fn new() -> Self {
        let key = |seed| Signer::from_seed([seed; 32]);
        let team = BTreeMap::from([(FILE.to_owned(), b"a descriptor".to_vec())]);
        let (root, timestamp, snapshot, targets) = (1, 1, 1, 1);
        let (key, online, team_key) = (key(1), key(2), key(3));
        Self { key, online, root, timestamp, snapshot, targets, team, team_key }
    }

    fn head(version: u64) -> Head {
        Head::new(version, "2031-01-01T00:00:00Z".parse().unwrap())
    }

    fn keys(&self) -> Keys {
        let all = [&self.key, &self.online, &self.team_key];
        all.map(|signer| (signer.id().to_owned(), signer.public().clone())).into()
    }

    fn role_keys(signer: &Signer) -> RoleKeys {
        RoleKeys { keyids: vec![signer.id().to_owned()], threshold: 1 }
    }

    fn root(&self) -> Vec<u8> {
        let role = |name: &str| {
            let is_online = matches!(name, "timestamp" | "snapshot");
            let signer = if is_online { &self.online } else { &self.key };
            Role { keys: Self::role_keys(signer), unknown: Object::new() }
        };
        let root = Root {
            head: Self::head(self.root),
            consistent_snapshot: true,
            keys: self.keys(),
            roles: TOP_LEVEL.map(|name| (name.to_owned(), role(name))).into(),
            unknown: Object::new(),
        };
        sign(&root, [&self.key])
    }

    /// Puts the present state into `mirror`.
    fn publish(&self, mirror: &mut Mirror) {
        let mut put = |path: String, bytes| drop(mirror.files.insert(path, bytes));
        put(format!("metadata/{}.root.json", self.root), self.root());
        let mut team = Targets::new(Self::head(self.targets), None);
        for (path, bytes) in &self.team {
            let digest = Digest::of(bytes);
            team.targets.insert(path.clone(), Target::new(bytes.len() as u64, digest, None));
            put(layout::stored(path, digest), bytes.clone());
        }
        put(format!("metadata/{}.team%2Fa.json", self.targets), sign(&team, [&self.team_key]));
        let delegation = DelegatedRole {
            name: "team/a".to_owned(),
            keys: Self::role_keys(&self.team_key),
            paths: Paths::Patterns(vec!["releases/*/*/*".to_owned().into()]),
            terminating: false,
            unknown: Object::new(),
        };
        let (keys, roles) = (self.keys(), vec![delegation]);
        let delegations = Delegations { keys, roles, unknown: Object::new() };
        let targets = Targets::new(Self::head(self.targets), Some(delegations));
        put(format!("metadata/{}.targets.json", self.targets), sign(&targets, [&self.key]));
        let meta = ["targets", "team/a"]
            .map(|role| (format!("{role}.json"), MetaFile::version(self.targets)));
        let head = Self::head(self.snapshot);
        let snapshot = Snapshot { head, meta: meta.into(), unknown: Object::new() };
        put(format!("metadata/{}.snapshot.json", self.snapshot), sign(&snapshot, [&self.online]));
        let snapshot = MetaFile::version(self.snapshot);
        let head = Self::head(self.timestamp);
        let timestamp = Timestamp { head, snapshot, unknown: Object::new() };
        put(layout::TIMESTAMP.to_owned(), sign(&timestamp, [&self.online]));
    }

    /// The next state, published.
    fn next(&mut self, mirror: &mut Mirror) {
        self.timestamp += 1;
        self.snapshot += 1;
        self.targets += 1;
        self.publish(mirror);
    }
}

/// A vendor, its mirror, and a node that trusts the first root.
struct Scene {
    vendor: Vendor,
    mirror: Mirror,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let (vendor, mut mirror) = (Vendor::new(), Mirror::default());
        vendor.publish(&mut mirror);
        let folder = tempfile::tempdir().unwrap();
        Client::init(folder.path().to_owned(), &vendor.root()).unwrap();
        Self { vendor, mirror, folder }
    }

    fn client(&self) -> Client<'_> {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        Client::open(&self.mirror, self.folder.path().to_owned(), now).unwrap()
    }

    fn refresh(&self) -> Result<(), TrustError> {
        self.client().refresh()
    }

    fn read(&self) -> Result<Vec<u8>, TrustError> {
        let mut client = self.client();
        let file = client.find(FILE)?.expect("it is there");
        client.read_target(&file, 1 << 20)
    }

    fn stored(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.path().join(name)).ok()
    }

    fn names(&self) -> String {
        let files = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.join(" ")
    }
}

fn refusal(result: Result<impl std::fmt::Debug, TrustError>) -> Refusal {
    match result.unwrap_err() {
        TrustError::Refused { refusal, .. } => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refresh_asks_for_what_it_needs_and_stores_what_it_got() {
    let scene = Scene::new();
    assert_eq!(scene.read().unwrap(), b"a descriptor");
    let target = layout::stored(FILE, Digest::of(b"a descriptor"));
    let asked = "2.root.json timestamp.json 1.snapshot.json 1.targets.json 1.team%2Fa.json ";
    assert_eq!(scene.mirror.asked(), format!("{asked}{target}"));
    assert_eq!(scene.names(), "root.json snapshot.json targets.json team%2Fa.json timestamp.json");
    let timestamp = &scene.mirror.files[layout::TIMESTAMP];
    assert_eq!(scene.stored("timestamp.json").as_ref(), Some(timestamp));
    // The second run costs the timestamp only, and the target.
    scene.read().unwrap();
    assert_eq!(scene.mirror.asked(), format!("2.root.json timestamp.json {target}"));
}

#[test]
fn absent_targets_are_absent_and_unsafe_ones_refused() {
    let scene = Scene::new();
    let mut client = scene.client();
    assert_eq!(client.find("releases/weave/2.0.0/release.json").unwrap(), None);
    assert_eq!(client.find("elsewhere/x").unwrap(), None);
    assert!(matches!(refusal(client.find("../x")), Refusal::UnsafeTarget { .. }));
}

#[test]
fn a_file_says_which_role_and_which_keys_signed_for_it() {
    let scene = Scene::new();
    // Received, then from what is stored.
    for _ in 0..2 {
        let file = scene.client().find(FILE).unwrap().unwrap();
        let signed_by = file.signed_by();
        assert_eq!(signed_by.role, "team/a");
        let ids: Vec<_> = signed_by.keys.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids, [scene.vendor.team_key.id()]);
    }
}

#[test]
fn row_2_only_not_found_ends_the_chain_of_roots() {
    let mut scene = Scene::new();
    scene.mirror.broken = Some("metadata/2.root.json".to_owned());
    assert_eq!(scene.refresh().unwrap_err().exit(), Exit::Unreachable);
    assert_eq!(scene.names(), "root.json", "nothing was trusted");
}

/// An object store says 403 of what is not there to those who may not list it. For the next root that is as
/// good as "not found", which it could have said as well; for what has to be there it is an error.
#[test]
fn row_2_a_root_that_is_forbidden_is_not_there() {
    let mut scene = Scene::new();
    scene.mirror.may_not_be_listed = true;
    scene.vendor.root = 2;
    scene.vendor.publish(&mut scene.mirror);
    scene.refresh().unwrap();
    assert_eq!(scene.stored("root.json").unwrap(), scene.vendor.root());
    scene.mirror.files.remove("metadata/timestamp.json");
    assert_eq!(scene.refresh().unwrap_err().exit(), Exit::Usage);
}

#[test]
fn row_2_roots_are_stored_step_by_step() {
    let mut scene = Scene::new();
    for version in [2, 3] {
        scene.vendor.root = version;
        scene.vendor.publish(&mut scene.mirror);
    }
    scene.mirror.files.insert("metadata/4.root.json".to_owned(), b"{}".to_vec());
    assert!(matches!(refusal(scene.refresh()), Refusal::Malformed(_)));
    assert_eq!(scene.stored("root.json").unwrap(), scene.vendor.root());
    // What was refused is not stored: the next run is as good as new.
    scene.mirror.files.remove("metadata/4.root.json");
    scene.refresh().unwrap();
}

#[test]
fn row_2_one_run_follows_so_many_roots_and_no_more() {
    let mut scene = Scene::new();
    let last = 2 * caps::ROOT_STEPS as u64;
    for version in 2..=last {
        scene.vendor.root = version;
        let path = format!("metadata/{version}.root.json");
        scene.mirror.files.insert(path, scene.vendor.root());
    }
    let error = scene.refresh().unwrap_err();
    assert!(matches!(error, TrustError::TooManyRoots { .. }), "{error:?}");
    assert_eq!(error.exit(), Exit::NotTrusted);
    // Where they are a vendor's after all, the next run goes on from there.
    scene.vendor.root = 1 + caps::ROOT_STEPS as u64;
    assert_eq!(scene.stored("root.json").unwrap(), scene.vendor.root());
    scene.vendor.root = last;
    scene.refresh().unwrap();
    assert_eq!(scene.stored("root.json").unwrap(), scene.vendor.root());
}

#[test]
fn row_5_new_online_keys_undo_a_fast_forward() {
    let mut scene = Scene::new();
    (scene.vendor.timestamp, scene.vendor.snapshot) = (1 << 40, 1 << 40);
    scene.vendor.publish(&mut scene.mirror);
    scene.refresh().unwrap();
    let stolen = (scene.vendor.timestamp, scene.vendor.snapshot);
    (scene.vendor.timestamp, scene.vendor.snapshot) = (2, 2);
    scene.vendor.publish(&mut scene.mirror);
    assert!(matches!(refusal(scene.refresh()), Refusal::Rollback { .. }));
    // The keys are replaced, by a root.
    scene.vendor.root = 2;
    scene.vendor.online = Signer::from_seed([9; 32]);
    scene.vendor.publish(&mut scene.mirror);
    scene.refresh().unwrap();
    assert!(stolen.0 > scene.vendor.timestamp);
}

#[test]
fn rows_6_and_8_an_interrupted_refresh_opens_no_rollback() {
    let mut scene = Scene::new();
    scene.vendor.next(&mut scene.mirror);
    scene.refresh().unwrap();
    // A newer timestamp is stored, but its snapshot cannot be had.
    scene.vendor.next(&mut scene.mirror);
    scene.mirror.broken = Some("metadata/3.snapshot.json".to_owned());
    assert_eq!(scene.refresh().unwrap_err().exit(), Exit::Unreachable);
    scene.mirror.broken = None;
    // Now whoever stole the online keys shows a snapshot with older targets.
    scene.vendor.timestamp = 4;
    scene.vendor.targets = 1;
    scene.vendor.publish(&mut scene.mirror);
    assert!(
        matches!(refusal(scene.refresh()), Refusal::Rollback { role, .. } if role == "targets")
    );
    scene.vendor.snapshot = 4;
    scene.vendor.targets = 3;
    scene.vendor.timestamp = 5;
    scene.vendor.publish(&mut scene.mirror);
    scene.refresh().unwrap();
}

#[test]
fn row_11_a_cached_role_answers_to_its_present_delegator() {
    let mut scene = Scene::new();
    scene.read().unwrap();
    let before = scene.stored("team%2Fa.json").unwrap();
    scene.vendor.team_key = Signer::from_seed([8; 32]);
    scene.vendor.next(&mut scene.mirror);
    // The snapshot still names the version that is stored, which the old key has signed.
    let path = "metadata/2.team%2Fa.json".to_owned();
    scene.mirror.files.insert(path, before.clone());
    assert!(matches!(refusal(scene.read()), Refusal::Signatures { .. }));
    assert_eq!(scene.stored("team%2Fa.json").unwrap(), before, "what was refused is not stored");
}

#[test]
fn row_12_no_file_is_read_beyond_its_cap() {
    let mut scene = Scene::new();
    let endless = vec![b' '; usize::try_from(caps::TIMESTAMP).unwrap() + 1];
    scene.mirror.files.insert(layout::TIMESTAMP.to_owned(), endless);
    let error = scene.refresh().unwrap_err();
    assert!(matches!(error, TrustError::Store(StoreError::TooLarge { .. })));
    assert_eq!(error.exit(), Exit::NotTrusted);
}

#[test]
fn row_13_a_wrong_file_is_refused() {
    let mut scene = Scene::new();
    let path = layout::stored(FILE, Digest::of(b"a descriptor"));
    for (wrong, is_longer) in [("a Descriptor", false), ("a desc", false), ("a descriptor!", true)]
    {
        scene.mirror.files.insert(path.clone(), wrong.as_bytes().to_vec());
        let error = scene.read().unwrap_err();
        assert_eq!(error.exit(), Exit::NotTrusted, "{wrong}");
        assert_eq!(matches!(error, TrustError::Store(_)), is_longer, "{wrong}");
    }
    let mut client = scene.client();
    let file = client.find(FILE).unwrap().unwrap();
    assert!(matches!(client.read_target(&file, 3), Err(TrustError::Store(_))));
}

#[test]
fn row_16_no_answer_wedges_the_next_run() {
    let good = Scene::new().mirror.files;
    for path in good.keys().filter(|path| path.starts_with("metadata/") && !path.contains("root")) {
        for answer in [&b""[..], b"{", b"[]", b"{\"signatures\":[],\"signed\":{}}"] {
            let mut scene = Scene::new();
            scene.mirror.files.insert(path.clone(), answer.to_vec());
            assert!(scene.read().is_err(), "{path}");
            scene.mirror.files.clone_from(&good);
            scene.read().unwrap();
        }
    }
}

#[test]
fn row_18_a_tampered_cache_is_fetched_anew() {
    let scene = Scene::new();
    scene.read().unwrap();
    for name in ["timestamp.json", "snapshot.json", "targets.json", "team%2Fa.json"] {
        let path = scene.folder.path().join(name);
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        fs::write(&path, text.replace("\"version\":1", "\"version\":7")).unwrap();
        assert_eq!(scene.read().unwrap(), b"a descriptor", "{name}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{name} is mended");
    }
    fs::write(scene.folder.path().join("root.json"), b"{}").unwrap();
    let now = "2030-01-01T00:00:00Z".parse().unwrap();
    let opened = Client::open(&scene.mirror, scene.folder.path().to_owned(), now);
    assert!(matches!(opened.map(drop), Err(TrustError::Refused { .. })));
}

#[test]
fn what_is_no_repository_is_called_so() {
    let mut scene = Scene::new();
    scene.mirror.files.clear();
    let error = scene.refresh().unwrap_err();
    assert_eq!((error.exit(), error.hints().len()), (Exit::NotFound, 1));
    assert!(error.to_string().contains("there is no repository at the mirror"));
    let mut scene = Scene::new();
    scene.mirror.files.remove("metadata/1.snapshot.json");
    let error = scene.refresh().unwrap_err();
    assert!(matches!(error, TrustError::Incomplete { .. }));
}

#[test]
fn the_pinned_root_is_pinned_once() {
    let scene = Scene::new();
    let path = || scene.folder.path().to_owned();
    Client::init(path(), &scene.vendor.root()).unwrap();
    let mut other = Vendor::new();
    other.root = 2;
    assert!(matches!(Client::init(path(), &other.root()), Err(TrustError::OtherRoot { .. })));
    assert!(matches!(Client::init(path(), b"{}"), Err(TrustError::Refused { .. })));
    assert_eq!(scene.stored("root.json").unwrap(), scene.vendor.root());
    let nowhere = Client::open(&scene.mirror, path().join("nowhere"), jiff::Timestamp::UNIX_EPOCH);
    assert!(matches!(nowhere.map(drop), Err(TrustError::NoRoot { .. })));
}

#[test]
fn expired_metadata_is_refused_with_advice() {
    let scene = Scene::new();
    let now = "2031-01-01T00:00:00Z".parse().unwrap();
    let mut client = Client::open(&scene.mirror, scene.folder.path().to_owned(), now).unwrap();
    let error = client.refresh().unwrap_err();
    assert_eq!(error.exit(), Exit::NotTrusted);
    assert!(error.hints()[0].contains("clock"));
}
