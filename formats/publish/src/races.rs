//! Publishers that meet, die and come back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use cutover_formats::descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_repository::client::{Client, TrustError};
use cutover_repository::store::{Read as _, Swap};
use jiff::{SignedDuration, Timestamp};

use super::keychange::{KeyChange, change_keys};
use super::keyring::{Keyring, Protection, TrustFolder};
use super::memory::{Fate, Files, Memory};
use super::{
    Order, PublishError, Published, ReleaseFiles, Repo, Upload, promote, refresh, release,
};

const BEGINNING: &str = "2030-01-01T00:00:00Z";

/// All versions that are released in some test.
const VERSIONS: [&str; 7] = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "2.0.0"];

/// A repository, its keys, and something to release.
struct Scene {
    files: Files,
    folder: tempfile::TempDir,
    keyring: Keyring,
    now: Timestamp,
}

impl Scene {
    /// An empty repository. Keys and first files are made once and copied for each scene.
    fn new() -> Self {
        static FIRST: OnceLock<(tempfile::TempDir, BTreeMap<String, Vec<u8>>)> = OnceLock::new();
        let now = BEGINNING.parse().unwrap();
        let (first, files) = FIRST.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let keyring = keyring(&folder);
            keyring.create(&Protection::None).unwrap();
            let files = Files::default();
            super::init(&Memory::new(&files, "first"), &keyring, now).unwrap();
            (folder, files.lock().unwrap().clone())
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        for file in std::fs::read_dir(first.path().join("keys")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join("keys").join(file.file_name())).unwrap();
        }
        let files = Files::new(Mutex::new(files.clone()));
        Self { files, keyring: keyring(&folder), folder, now }
    }

    fn store(&self, name: &'static str) -> Memory<'static> {
        Memory::new(&self.files, name)
    }

    fn repo<'a>(&'a self, store: &'a dyn Swap) -> Repo<'a> {
        let (keyring, now) = (&self.keyring, self.now);
        Repo { store, keyring, now, patience: Duration::ZERO, note: &|_| {} }
    }

    /// Publishes `version` through `store`.
    fn release(&self, store: &dyn Swap, version: &str) -> Result<Published, PublishError> {
        let files = self.files_of(version);
        let file = self.folder.path().join(version);
        std::fs::write(&file, version).unwrap();
        release(&self.repo(store), &files, Some((&channel("next"), Order::Any)))
    }

    fn files_of(&self, version: &str) -> ReleaseFiles {
        let version: Version = version.parse().unwrap();
        let text = version.to_string();
        let (size, sha256) = (text.len() as u64, Digest::of(text.as_bytes()));
        let bundle = layout::release_file(&weave(), &version, &"weave.tar.zst".parse().unwrap());
        let upload = Upload {
            path: layout::stored(&bundle, sha256),
            file: self.folder.path().join(&text),
            size,
            sha256,
        };
        ReleaseFiles {
            product: weave(),
            descriptor: format!("the descriptor of {version}").into_bytes(),
            version,
            uploads: vec![upload],
            bundle: (bundle, size, sha256),
            minisigned: Vec::new(),
        }
    }

    /// What a reader sees, who has never been here, of the versions that these tests release.
    /// Every file that is named must be there.
    fn visible(&self) -> Vec<String> {
        let store = self.store("reader");
        let trust = TrustFolder::temporary(&self.keyring.root().unwrap()).unwrap();
        let mut client = Client::open(&store, trust.path().to_owned(), self.now).unwrap();
        let mut visible = Vec::new();
        for version in VERSIONS.map(|version| version.parse::<Version>().unwrap()) {
            let Some(file) = client.find(&layout::descriptor(&weave(), &version)).unwrap() else {
                continue;
            };
            client.read_target(&file, descriptor::LARGEST).unwrap();
            let bundle = self.files_of(&version.to_string()).bundle.0;
            let bundle = client.find(&bundle).unwrap().expect("the bundle is vouched for");
            client.read_target(&bundle, 1 << 20).unwrap();
            visible.push(version.to_string());
        }
        if let Some(pointer) = client.channel(&channel("next"), &weave()).unwrap() {
            assert!(visible.contains(&pointer.version.to_string()));
        }
        visible
    }
}

fn keyring(folder: &tempfile::TempDir) -> Keyring {
    Keyring::new(folder.path().join("keys"), Box::new(|| Err("nobody to ask".to_owned())))
}

fn weave() -> Product {
    "weave".parse().unwrap()
}

fn channel(name: &str) -> Channel {
    name.parse().unwrap()
}

#[test]
fn one_after_the_other() {
    let scene = Scene::new();
    let store = scene.store("a");
    let first = scene.release(&store, "1.0.0").unwrap();
    assert_eq!(first.snapshot, 2);
    assert_eq!(scene.release(&store, "1.1.0").unwrap().snapshot, 3);
    let again = scene.release(&store, "1.1.0").unwrap_err();
    assert!(matches!(again, PublishError::AlreadyPublished { .. }));
    assert_eq!(again.exit(), Exit::Usage);
    assert_eq!(scene.visible(), ["1.0.0", "1.1.0"]);
    let moved = promote(
        &scene.repo(&store),
        &weave(),
        &Version::new(1, 0, 0),
        (&channel("b.try"), Order::Forward),
    );
    assert_eq!(moved.unwrap().snapshot, 4);
    let same = promote(
        &scene.repo(&store),
        &weave(),
        &Version::new(1, 0, 0),
        (&channel("b.try"), Order::Forward),
    );
    assert_eq!(same.unwrap().snapshot, 4, "nothing to do, nothing published");
}

#[test]
fn what_is_published_is_listed() {
    let scene = Scene::new();
    let store = scene.store("a");
    for version in ["1.1.0", "1.0.0"] {
        scene.release(&store, version).unwrap();
    }
    let mut view = super::view(&scene.repo(&store)).unwrap();
    let releases = view.client.releases(Some(&weave())).unwrap();
    let shown: Vec<_> =
        releases.iter().map(|one| (one.version.to_string(), one.released, one.bundle)).collect();
    let expected = |version: &str| (version.to_owned(), Some(scene.now), Some(5));
    assert_eq!(shown, [expected("1.0.0"), expected("1.1.0")]);
    assert!(view.client.releases(Some(&"other".parse().unwrap())).unwrap().is_empty());
    let pointers = view.client.channels(None).unwrap();
    assert_eq!(pointers.len(), 1);
    assert_eq!((pointers[0].channel.as_str(), pointers[0].version.minor), ("next", 0));
    let names: Vec<_> = view.client.channel_names().unwrap();
    let names: Vec<_> = names.iter().map(Channel::as_str).collect();
    assert_eq!(names, ["next", "testing", "stable", "production"]);
}

#[test]
fn two_publishers_meet_at_every_call() {
    for call in 0.. {
        let scene = Scene::new();
        let other = scene.store("b");
        let store = Memory::with(&scene.files, "a", |number| {
            if number == call {
                scene.release(&other, "2.0.0").unwrap();
            }
            Fate::Done
        });
        scene.release(&store, "1.0.0").unwrap();
        if store.calls() <= call {
            assert!(call > 20, "the calls are counted");
            return;
        }
        assert_eq!(scene.visible(), ["1.0.0", "2.0.0"], "met at call {call}");
    }
}

#[test]
fn a_channel_that_was_moved_on_meanwhile_does_not_go_back() {
    for call in 0.. {
        let scene = Scene::new();
        let other = scene.store("b");
        for version in ["1.1.0", "1.0.0"] {
            scene.release(&other, version).unwrap();
        }
        let met = AtomicBool::new(false);
        let store = Memory::with(&scene.files, "a", |number| {
            if number == call {
                met.store(true, Ordering::Relaxed);
                scene.release(&other, "2.0.0").unwrap();
            }
            Fate::Done
        });
        let to = (&channel("next"), Order::Forward);
        let moved = promote(&scene.repo(&store), &weave(), &Version::new(1, 1, 0), to);
        if !met.load(Ordering::Relaxed) {
            return;
        }
        let older = matches!(moved, Err(PublishError::Older { .. }));
        let mut view = super::view(&scene.repo(&other)).unwrap();
        let now = view.client.channel(&channel("next"), &weave()).unwrap().unwrap();
        assert!(moved.is_ok() || older, "met at call {call}: {moved:?}");
        assert_eq!(now.version, Version::new(2, 0, 0), "met at call {call}");
    }
}

#[test]
fn the_same_version_is_published_once() {
    for call in 0.. {
        let scene = Scene::new();
        let other = scene.store("b");
        let (met, lost) = (AtomicBool::new(false), Mutex::new(None));
        let store = Memory::with(&scene.files, "a", |number| {
            if number == call {
                met.store(true, Ordering::Relaxed);
                *lost.lock().unwrap() = scene.release(&other, "1.0.0").err();
            }
            Fate::Done
        });
        let first = scene.release(&store, "1.0.0");
        if !met.load(Ordering::Relaxed) {
            return;
        }
        let errors: Vec<_> = first.err().into_iter().chain(lost.lock().unwrap().take()).collect();
        assert!(
            errors.iter().all(|error| matches!(error, PublishError::AlreadyPublished { .. })),
            "call {call}: {errors:?}"
        );
        assert_eq!(scene.visible(), ["1.0.0"], "met at call {call}");
    }
}

#[test]
fn a_publisher_dies_at_every_call_and_another_goes_on() {
    for death in [Fate::Fails, Fate::Unanswered] {
        for call in 0.. {
            let scene = Scene::new();
            let store = Memory::with(&scene.files, "a", |number| match number {
                early if early < call => Fate::Done,
                now if now == call => death,
                _ => Fate::Fails,
            });
            if scene.release(&store, "1.0.0").is_ok() {
                break;
            }
            let before = scene.visible();
            assert!(before.is_empty() || before == ["1.0.0"], "dead at call {call}: {before:?}");
            scene.release(&scene.store("b"), "2.0.0").unwrap();
            let after = scene.visible();
            assert!(after.contains(&"2.0.0".to_owned()), "dead at call {call}");
            match scene.release(&scene.store("a"), "1.0.0") {
                Ok(_) => assert!(!after.contains(&"1.0.0".to_owned())),
                Err(error) => assert!(matches!(error, PublishError::AlreadyPublished { .. })),
            }
            assert_eq!(scene.visible(), ["1.0.0", "2.0.0"], "dead at call {call}");
        }
    }
}

#[test]
fn an_interrupted_publisher_can_simply_try_again() {
    for call in 0.. {
        let scene = Scene::new();
        let dying = |number| if number < call { Fate::Done } else { Fate::Fails };
        let store = Memory::with(&scene.files, "a", dying);
        if scene.release(&store, "1.0.0").is_ok() {
            return;
        }
        let was_visible = !scene.visible().is_empty();
        assert_eq!(scene.release(&scene.store("a"), "1.0.0").is_ok(), !was_visible, "call {call}");
        assert_eq!(scene.visible(), ["1.0.0"], "dead at call {call}");
    }
}

#[test]
fn many_at_once_all_get_through() {
    let scene = Scene::new();
    let versions: Vec<_> = (0..6).map(|minor| format!("1.{minor}.0")).collect();
    std::thread::scope(|scope| {
        for version in &versions {
            let scene = &scene;
            scope.spawn(move || {
                let store = scene.store("all");
                scene.release(&store, version).unwrap();
            });
        }
    });
    assert_eq!(scene.visible(), versions);
}

#[test]
fn leftovers_that_nobody_signed_are_stepped_over() {
    let scene = Scene::new();
    let path = "metadata/2.snapshot.json".to_owned();
    scene.files.lock().unwrap().insert(path, b"not metadata".to_vec());
    assert_eq!(scene.release(&scene.store("a"), "1.0.0").unwrap().snapshot, 3);
    assert_eq!(scene.visible(), ["1.0.0"]);
}

/// However long a publisher is given for its last step: this is none's. (Else this test would not end.)
#[test]
fn nobody_waits_for_a_snapshot_that_nobody_signed() {
    let scene = Scene::new();
    let path = "metadata/2.snapshot.json".to_owned();
    scene.files.lock().unwrap().insert(path, b"not metadata".to_vec());
    let store = scene.store("a");
    let repo = Repo { patience: Duration::from_secs(24 * 3600), ..scene.repo(&store) };
    assert_eq!(refresh(&repo).unwrap().snapshot, 3);
}

#[test]
fn refresh_brings_an_expired_repository_back() {
    let mut scene = Scene::new();
    scene.release(&scene.store("a"), "1.0.0").unwrap();
    scene.now += SignedDuration::from_hours(24 * 100);
    let store = scene.store("reader");
    let trust = TrustFolder::temporary(&scene.keyring.root().unwrap()).unwrap();
    let mut client = Client::open(&store, trust.path().to_owned(), scene.now).unwrap();
    let refused = client.refresh().unwrap_err();
    assert!(matches!(&refused, TrustError::Refused { .. }));
    assert_eq!(refused.exit(), Exit::NotTrusted);
    assert!(refused.hints().concat().contains("pack refresh"), "{:?}", refused.hints());
    refresh(&scene.repo(&scene.store("a"))).unwrap();
    client.refresh().unwrap();
    assert_eq!(scene.visible(), ["1.0.0"]);
}

#[test]
fn what_is_refused_says_what_there_is() {
    let scene = Scene::new();
    let store = scene.store("a");
    scene.release(&store, "1.0.0").unwrap();
    let before = scene.files.lock().unwrap().clone();
    let to = |version: &str, name: &str| {
        let version = version.parse().unwrap();
        let error =
            promote(&scene.repo(&store), &weave(), &version, (&channel(name), Order::Forward))
                .unwrap_err();
        (error.to_string(), error.exit(), error.hints().join("; "))
    };
    let (message, exit, hints) = to("1.0.1", "stable");
    assert_eq!(message, "there is no weave 1.0.1 in the repository");
    assert_eq!((exit, hints.as_str()), (Exit::NotFound, "the nearest: 1.0.0"));
    let (message, exit, hints) = to("1.0.0", "stabel");
    assert_eq!(message, "the repository has no channel `stabel`");
    assert_eq!((exit, hints.as_str()), (Exit::NotFound, "the nearest: stable"));
    assert_eq!(*scene.files.lock().unwrap(), before, "nothing was changed");
}

#[test]
fn a_second_repository_in_the_same_place_is_refused() {
    let scene = Scene::new();
    let before = scene.files.lock().unwrap().clone();
    let again = super::init(&scene.store("a"), &scene.keyring, scene.now).unwrap_err();
    assert!(matches!(again, PublishError::Occupied { .. }));
    assert_eq!(*scene.files.lock().unwrap(), before);
}

#[test]
fn missing_and_foreign_keys_are_named() {
    let scene = Scene::new();
    let foreign = tempfile::tempdir().unwrap();
    let other = keyring(&foreign);
    other.create(&Protection::None).unwrap();
    std::fs::copy(scene.keyring.root_file(), other.root_file()).unwrap();
    let (store, before) = (scene.store("a"), scene.files.lock().unwrap().len());
    let repo = Repo { keyring: &other, ..scene.repo(&store) };
    let error = refresh(&repo).unwrap_err();
    assert!(error.to_string().contains("snapshot.pem is not one that the repository trusts"));
    std::fs::remove_file(foreign.path().join("keys/snapshot.pem")).unwrap();
    let fresh = keyring(&foreign);
    let error = refresh(&Repo { keyring: &fresh, ..repo }).unwrap_err();
    assert!(error.to_string().starts_with("the snapshot key is missing: there is no "));
    assert_eq!(error.exit(), Exit::Usage);
    assert_eq!(scene.files.lock().unwrap().len(), before);
    assert!(store.get(layout::TIMESTAMP, 1 << 20).is_ok());
}

/// The old key is lost, so that nothing can be signed for both roots: the one moment in which
/// readers are refused. Whoever dies there, `pack refresh` or the same command again ends it.
#[test]
fn a_rotation_without_the_old_key_dies_at_every_call_and_is_completed() {
    for role in ["timestamp", "targets"] {
        for call in 0.. {
            let scene = Scene::new();
            scene.release(&scene.store("a"), "1.0.0").unwrap();
            let (signer, _) = scene.keyring.create_one(role, &Protection::None).unwrap();
            std::fs::remove_file(scene.folder.path().join(format!("keys/{role}.pem"))).unwrap();
            let new = signer.public().clone();
            let change = KeyChange::Rotate { old: None, new, name: None };
            let dying = |number| if number < call { Fate::Done } else { Fate::Fails };
            let store = Memory::with(&scene.files, "a", dying);
            if change_keys(&scene.repo(&store), role, &change).is_ok() {
                assert!(call > 8, "the calls are counted");
                break;
            }
            let healthy = scene.store("a");
            let repo = scene.repo(&healthy);
            let root = scene.files.lock().unwrap().contains_key("metadata/2.root.json");
            if root {
                refresh(&repo).unwrap();
            } else {
                change_keys(&repo, role, &change).unwrap();
            }
            assert_eq!(scene.visible(), ["1.0.0"], "{role}, dead at call {call}");
        }
    }
}
