//! The folder store: create-if-absent, swap, races, errors, full disks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Barrier;

use cutover_formats::exit::{Exit, Explain as _};
use cutover_repository::file::FileStore;
use cutover_repository::store::{Body, Create, Created, Read, StoreError, Swap, Swapped};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn creates_once_and_reads_parts() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let path = "targets/releases/weave/1.0.0/abc.x";
    assert!(store.get(path, 10).unwrap_err().is_not_found());
    assert_eq!(store.create(path, Body::Bytes(b"0123456789")).unwrap(), Created::New);
    assert_eq!(store.create(path, Body::Bytes(b"other")).unwrap(), Created::Exists);
    assert_eq!(store.get(path, 10).unwrap(), b"0123456789");
    assert!(matches!(store.get(path, 9), Err(StoreError::TooLarge { cap: 9, .. })));
    for (from, cap, expected) in [(0, 3, "012"), (8, 100, "89"), (10, 1, ""), (99, 1, "")] {
        let mut part = String::new();
        store.stream(path, from, cap).unwrap().read_to_string(&mut part).unwrap();
        assert_eq!(part, expected);
    }
    assert!(names(&folder.path().join(".incoming")).is_empty());
    for bad in ["../x", "/etc/passwd", "a/../b", ""] {
        assert_eq!(store.get(bad, 1).unwrap_err().exit(), Exit::NotTrusted, "{bad}");
    }
    assert!(store.get("targets", 10).unwrap_err().is_not_found(), "a folder is no file");
}

#[test]
fn links_its_own_temporary_files_and_copies_others() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let mut temp = store.temp_file().unwrap();
    temp.write_all(b"big").unwrap();
    let made = temp.as_file().metadata().unwrap();
    assert_eq!(store.create("a", Body::File(temp.path())).unwrap(), Created::New);
    drop(temp);
    let named = std::fs::metadata(folder.path().join("a")).unwrap();
    assert_eq!((named.ino(), named.nlink()), (made.ino(), 1));
    assert_eq!(named.mode() & 0o600, 0o600);
    let mut other = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
    other.write_all(b"other").unwrap();
    store.create("b", Body::File(other.path())).unwrap();
    other.write_all(b" changed later").unwrap();
    assert_eq!(store.get("b", 99).unwrap(), b"other");
}

#[test]
fn one_of_sixteen_creates() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let barrier = Barrier::new(16);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number: u8| {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    (number, store.create("deep/er/x", Body::Bytes(&[number])).unwrap())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<_> = results.iter().filter(|result| result.1 == Created::New).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get("deep/er/x", 9).unwrap(), [winners[0].0]);
}

#[test]
fn swaps_lose_no_update() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    assert_eq!(store.swap("t", Some(b"x"), b"0").unwrap(), Swapped::Changed);
    assert_eq!(store.swap("t", None, b"0").unwrap(), Swapped::Done);
    assert_eq!(store.swap("t", None, b"1").unwrap(), Swapped::Changed);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    loop {
                        let old = store.get("t", 99).unwrap();
                        let count: u32 = String::from_utf8(old.clone()).unwrap().parse().unwrap();
                        let new = (count + 1).to_string();
                        if store.swap("t", Some(&old), new.as_bytes()).unwrap() == Swapped::Done {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.get("t", 99).unwrap(), b"80");
    assert_eq!(names(&folder.path().join(".incoming")), ["lock"]);
}

#[test]
fn sweeps_only_what_the_dead_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let alive = store.temp_file().unwrap();
    std::fs::write(folder.path().join(".incoming/upload-dead"), "half").unwrap();
    assert_eq!(store.sweep().unwrap(), 1);
    assert!(alive.path().exists());
    assert_eq!(names(&folder.path().join(".incoming")).len(), 1);
}

/// For reading and for writing alike, wherever in the repository they stand.
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let scratch = tempfile::tempdir().unwrap();
    let (base, outside) = (scratch.path().join("repo"), scratch.path().join("outside"));
    std::fs::create_dir_all(base.join("targets")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    symlink("../../outside", base.join("targets/folder")).unwrap();
    symlink("../outside/secret", base.join("file")).unwrap();
    symlink("../outside/new", base.join("dangling")).unwrap();
    let store = FileStore::open(&base).unwrap();
    let refused = |error: StoreError| {
        assert_eq!(error.exit(), Exit::Usage, "{error}");
        assert!(error.to_string().contains("symbolic link"), "{error}");
    };
    refused(store.get("file", 99).unwrap_err());
    refused(store.get("targets/folder/secret", 99).unwrap_err());
    refused(store.stream("file", 0, 99).err().unwrap());
    refused(store.create("targets/folder/x", Body::Bytes(b"x")).unwrap_err());
    refused(store.create("targets/folder/deep/er/x", Body::Bytes(b"x")).unwrap_err());
    assert_eq!(store.create("dangling", Body::Bytes(b"x")).unwrap(), Created::Exists);
    refused(store.swap("file", Some(b"secret"), b"x").unwrap_err());
    refused(store.swap("targets/folder/secret", Some(b"secret"), b"x").unwrap_err());
    std::fs::remove_dir_all(base.join(".incoming")).unwrap();
    std::fs::write(outside.join("upload-of-others"), "x").unwrap();
    symlink("../outside", base.join(".incoming")).unwrap();
    refused(store.sweep().unwrap_err());
    refused(store.temp_file().unwrap_err());
    refused(store.create("x", Body::Bytes(b"x")).unwrap_err());
    assert_eq!(names(&outside), ["secret", "upload-of-others"]);
    // The way to the repository is its operator's.
    symlink("repo", scratch.path().join("way")).unwrap();
    std::fs::remove_file(base.join(".incoming")).unwrap();
    let store = FileStore::open(&scratch.path().join("way")).unwrap();
    assert_eq!(store.create("x", Body::Bytes(b"x")).unwrap(), Created::New);
    std::fs::remove_file(base.join(".incoming/lock")).unwrap_or_default();
    symlink("../../outside/lock", base.join(".incoming/lock")).unwrap();
    refused(store.swap("x", Some(b"x"), b"y").unwrap_err());
    assert_eq!(names(&outside).len(), 2);
}

#[test]
fn a_missing_folder_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nfs/repo");
    let error = FileStore::open(&missing).unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable);
    assert!(error.to_string().contains("there is no such folder"), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(FileStore::open(&file).unwrap_err().to_string().contains("not a folder"));
    FileStore::make(&missing).unwrap();
    let store = FileStore::open(&missing).unwrap();
    std::fs::remove_dir_all(&missing).unwrap();
    assert_eq!(store.create("x", Body::Bytes(b"")).unwrap_err().exit(), Exit::Unreachable);
    assert!(!missing.exists(), "a repository that went away is not made anew");
}

/// Needs root: a small or read-only file system is mounted where only the child sees it.
fn in_namespace(test: &str, mount: &str) {
    assert!(rustix::process::geteuid().is_root(), "mounting a small disk needs root");
    let folder = tempfile::tempdir().unwrap();
    let script = format!("mount {mount} tmpfs \"$1\" && exec \"$0\" --exact {test} --ignored");
    let output = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(folder.path())
        .env("CUTOVER_TEST_MOUNT", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn mounted() -> FileStore {
    FileStore::open(Path::new(&std::env::var_os("CUTOVER_TEST_MOUNT").unwrap())).unwrap()
}

#[test]
fn full_disk() {
    in_namespace("full_disk_inside", "-t tmpfs -o size=64k");
}

#[test]
#[ignore = "run by full_disk"]
fn full_disk_inside() {
    let store = mounted();
    let error = store.create("x", Body::Bytes(&vec![1; 1 << 20])).unwrap_err();
    assert_eq!(error.exit(), Exit::NoSpace, "{error}");
    assert!(error.hints().concat().contains("nothing was published"));
    assert!(store.get("x", 9).unwrap_err().is_not_found());
    assert!(names(&store.base().join(".incoming")).is_empty());
}

#[test]
fn read_only() {
    in_namespace("read_only_inside", "-t tmpfs -o ro");
}

#[test]
#[ignore = "run by read_only"]
fn read_only_inside() {
    let error = mounted().create("x", Body::Bytes(b"")).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage, "{error}");
    assert!(error.hints().concat().contains("nothing was published"));
}

/// A disk that is mounted somewhere, until this is dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn at(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let mounted = std::process::Command::new("mount").args(mount).arg(folder).status();
        assert!(mounted.unwrap().success(), "mounting takes root");
        Self(folder.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn targets_may_be_another_disk() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = Mounted::at(&folder.path().join("targets"));
    let _other = Mounted::at(&folder.path().join("metadata"));
    let store = FileStore::open(folder.path()).unwrap();
    let path = "targets/releases/weave/1.0.0/abc.x";
    assert_eq!(store.create(path, Body::Bytes(b"0123456789")).unwrap(), Created::New);
    assert_eq!(store.create(path, Body::Bytes(b"other")).unwrap(), Created::Exists);
    assert_eq!(store.get(path, 10).unwrap(), b"0123456789");
    let too_large = vec![0; 2 << 20];
    let full = store.create("targets/large", Body::Bytes(&too_large)).unwrap_err();
    assert_eq!(full.exit(), Exit::NoSpace, "{full}");
    assert!(store.get("targets/large", 10).unwrap_err().is_not_found());
    // What is replaced has to be renamed.
    let error = store.swap("metadata/timestamp.json", None, b"{}").unwrap_err();
    assert!(error.to_string().contains("another file system"), "{error}");
    assert!(error.hints().iter().all(|hint| !hint.contains("link")), "{:?}", error.hints());
}
