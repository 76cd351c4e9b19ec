//! From a tree to a bundle to a prefix: what comes out is what went in, judged by GNU tar and
//! Python's tarfile; and where a bundle is broken, nothing outside the prefix is touched.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZero;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use cutover_formats::bundle::{Layout, SeekTable};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::filelist::{Expected, FileList};
use cutover_formats::path::RelPath;
use cutover_install::audit::{Inventory, Problem, audit};
use cutover_install::disk;
use cutover_install::unpack::{UnpackError, unpack};
use cutover_pack::bundle::{
    BundleError, Contents, Options, Source, SourceEntry, WrittenBundle, write,
};
use proptest::prelude::*;
use tempfile::TempDir;

const TIME: u64 = 1_700_000_000;

/// A scratch folder with a source tree, a bundle and a prefix in it.
struct Bench {
    scratch: TempDir,
    entries: Vec<SourceEntry>,
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("source")).unwrap();
        Self { scratch, entries: Vec::new() }
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn bundle(&self) -> PathBuf {
        self.scratch.path().join("bundle.tar.zst")
    }

    fn prefix(&self) -> PathBuf {
        self.scratch.path().join("prefix")
    }

    fn add(&mut self, path: &str, kind: Source) -> &mut Self {
        self.entries.push(SourceEntry { path: path.parse().unwrap(), kind });
        self
    }

    fn file(&mut self, path: &str, contents: &[u8]) -> &mut Self {
        let source = self.source().join(format!("{}", self.entries.len()));
        fs::write(&source, contents).unwrap();
        let (executable, size) = (path.ends_with("run"), contents.len() as u64);
        self.add(path, Source::File { executable, size, source })
    }

    fn folder(&mut self, path: &str) -> &mut Self {
        self.add(path, Source::Folder)
    }

    fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, Source::Link { target: target.to_owned() })
    }

    fn contents(&self) -> Contents {
        Contents {
            product: "weave".parse().unwrap(),
            version: "1.1.4".parse().unwrap(),
            time: TIME,
            entries: self.entries.clone(),
        }
    }

    fn write(&self, options: Options) -> Result<WrittenBundle, BundleError> {
        write(&self.contents(), options, &mut File::create(self.bundle()).unwrap(), &|_| ())
    }

    fn pack(&self) -> FileList {
        let written = self.write(Options::default()).unwrap();
        let bytes = fs::read(self.bundle()).unwrap();
        assert_eq!(written.size, bytes.len() as u64);
        assert_eq!(written.sha256, Digest::of(&bytes));
        signed(&written.list)
    }

    fn unpack(&self, list: &FileList) -> Result<(), UnpackError> {
        unpack(list, &self.bundle(), &self.prefix(), &|_| ()).map(|_| ())
    }

    /// What is in the scratch folder outside the prefix.
    fn outside(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = tree(self.scratch.path());
        found.retain(|path, _| !path.starts_with("prefix"));
        found
    }
}

/// The list as a node gets it: through its bytes.
fn signed(list: &FileList) -> FileList {
    let bytes = list.to_bytes();
    let expected = Expected {
        product: list.product(),
        version: list.version(),
        time: list.time(),
        sha256: Digest::of(&bytes),
        size: bytes.len() as u64,
        entries: list.entries().len() as u64,
        bytes: list.bytes(),
    };
    let parsed = FileList::parse(&bytes, &expected).unwrap();
    assert_eq!(&parsed, list);
    parsed
}

/// Every path below `top` with mode and contents.
fn tree(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![top.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let mut what = format!("{:o} ", meta.mode()).into_bytes();
            if meta.is_dir() {
                ahead.push(path.clone());
            } else if meta.is_symlink() {
                what.extend(fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
            } else {
                what.extend(fs::read(&path).unwrap());
            }
            found.insert(path.strip_prefix(top).unwrap().to_owned(), what);
        }
    }
    found
}

/// Bytes that do not compress, without a source of randomness.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Every oddity at once: empty, spanning, long, non-ASCII, deep.
fn odd() -> Bench {
    let mut bench = Bench::new();
    let (long, deep) = ("l".repeat(200), vec!["d"; 60].join("/"));
    bench
        .file("a/b/empty", b"")
        .file("a/b/run", b"#!/bin/sh\n")
        .file("a-b", b"sorts between a and a/b")
        .file("large", &noise(9 << 20, 1))
        .file("larger", &vec![7; 17 << 20])
        .file("exactly", &noise(4 << 20, 2))
        .file(&format!("long/{long}"), b"long")
        .file(&format!("{deep}/file"), b"deep")
        .file("übung/zürich", b"umlauts")
        .folder("hollow")
        .link("now", "a/b/run")
        .link("a/up", "../large")
        .link("a/long", &format!("../long/{long}"))
        .link("a/übung", "../übung/zürich")
        .file("zz/last", b"x");
    bench
}

#[test]
fn what_comes_out_is_what_went_in() {
    let bench = odd();
    let list = bench.pack();
    bench.unpack(&list).unwrap();
    for entry in &bench.entries {
        let path = bench.prefix().join(entry.path.as_path());
        let meta = fs::symlink_metadata(&path).unwrap();
        match &entry.kind {
            Source::Folder => assert!(meta.is_dir()),
            Source::File { executable, source, .. } => {
                assert_eq!(fs::read(&path).unwrap(), fs::read(source).unwrap(), "{}", entry.path);
                assert_eq!(meta.mode() & 0o7777, if *executable { 0o755 } else { 0o644 });
                assert_eq!(meta.mtime(), TIME as i64);
            }
            Source::Link { target } => {
                assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
            }
        }
    }
    assert_eq!(audit(&list, &bench.prefix(), &[]).unwrap(), []);
    assert_eq!(tree(&bench.prefix()).len(), list.entries().len());
}

#[test]
fn gnu_tar_and_python_agree() {
    let bench = odd();
    let list = bench.pack();
    bench.unpack(&list).unwrap();
    let ours = tree(&bench.prefix());

    let judge = |name: &str, command: &mut Command| {
        let folder = bench.scratch.path().join(name);
        fs::create_dir(&folder).unwrap();
        let output = command.current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        assert!(tree(&folder.join("weave-1.1.4")) == ours, "{name} unpacks another tree");
    };
    judge("tar", Command::new("tar").args(["--zstd", "-xpf"]).arg(bench.bundle()));
    let script = "import subprocess, sys, tarfile\n\
        tar = subprocess.Popen(['zstd', '-qdc', sys.argv[1]], stdout=subprocess.PIPE)\n\
        tarfile.open(fileobj=tar.stdout, mode='r|').extractall()\n";
    judge("python", Command::new("python3").args(["-c", script]).arg(bench.bundle()));

    let listing =
        Command::new("tar").args(["--zstd", "-tvf"]).arg(bench.bundle()).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert_eq!(listing.lines().count(), list.entries().len() + 1);
    assert!(listing.starts_with("drwxr-xr-x 0/0 "), "{listing}");
}

#[test]
fn the_same_bytes_whatever_the_number_of_threads() {
    let bench = odd();
    for level in [3, 9] {
        let digest = |threads| {
            let threads = NonZero::new(threads).unwrap();
            bench.write(Options { level, threads }).unwrap().sha256
        };
        let one = digest(1);
        for threads in [2, 5] {
            assert_eq!(digest(threads), one, "level {level}, {threads} threads");
        }
    }
}

#[test]
fn golden() {
    let mut bench = Bench::new();
    bench
        .file("bin/run", b"#!/bin/sh\n")
        .file("übung", b"hello")
        .folder("hollow")
        .link("now", "bin/run");
    let written = bench.write(Options::default()).unwrap();
    let bundle = "697b125c1e2f2da2a765dca817e1df929f7cdc822b7437050b7ffa20cd620fcb";
    let list = "4cf8dec9159dc3bac237e0d050fecaadd3aef1d5e040fe1a2566e708b2184ea5";
    assert_eq!(written.sha256.to_string(), bundle);
    assert_eq!(Digest::of(&written.list.to_json()).to_string(), list);
}

#[test]
fn an_empty_tree() {
    let bench = Bench::new();
    let list = bench.pack();
    bench.unpack(&list).unwrap();
    assert_eq!(tree(&bench.prefix()).len(), 0);
}

#[test]
fn files_that_change_while_they_are_packed() {
    for size in [0, 10, 4 << 20, 9 << 20] {
        for change in [-1, 1] {
            let mut bench = Bench::new();
            bench.file("a/file", &noise(size, 3));
            let Source::File { source, .. } = bench.entries[0].kind.clone() else { unreachable!() };
            let Some(other) = size.checked_add_signed(change) else { continue };
            fs::write(&source, noise(other, 3)).unwrap();
            let error = bench.write(Options::default()).unwrap_err();
            assert!(matches!(&error, BundleError::Changed { path, .. } if *path == source));
            fs::remove_file(&source).unwrap();
            let error = bench.write(Options::default()).unwrap_err();
            assert!(matches!(&error, BundleError::Read { path, .. } if *path == source));
            assert_eq!(error.exit(), Exit::NotFound);
        }
    }
}

#[test]
fn trees_that_are_refused() {
    let mut clash = Bench::new();
    clash.file("README", b"").file("readme", b"");
    let mut through = Bench::new();
    through.link("a", "b").file("a/c", b"");
    let mut leaves = Bench::new();
    leaves.link("a", "../b");
    for bench in [clash, through, leaves] {
        let error = bench.write(Options::default()).unwrap_err();
        assert!(matches!(error, BundleError::Refused(_)), "{error}");
        assert_eq!(error.exit(), Exit::Usage);
        assert_eq!(fs::metadata(bench.bundle()).unwrap().len(), 0);
    }
}

/// Refused with a typed error, exit status 3, and nothing but the prefix touched.
fn refused(bench: &Bench, list: &FileList) -> UnpackError {
    let before = bench.outside();
    let error = bench.unpack(list).unwrap_err();
    assert_eq!(error.exit(), Exit::NotTrusted, "{error}");
    assert_eq!(bench.outside(), before);
    disk::remove_tree(&bench.prefix()).unwrap();
    assert!(!bench.prefix().exists());
    error
}

#[test]
fn truncated_bundles() {
    let mut bench = Bench::new();
    bench.file("a", &noise(5 << 20, 4)).file("b", b"b");
    let list = bench.pack();
    let bytes = fs::read(bench.bundle()).unwrap();
    for len in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(bench.bundle(), &bytes[..len]).unwrap();
        let error = refused(&bench, &list);
        assert!(matches!(error, UnpackError::SeekTable(_)), "{len}: {error}");
    }
}

#[test]
fn corrupt_bundles() {
    let mut bench = Bench::new();
    bench.file("a", &noise(5 << 20, 4)).file("b", &[1; 100_000]).link("c", "b");
    let list = bench.pack();
    let bytes = fs::read(bench.bundle()).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut corrupt = bytes.clone();
        corrupt[at] ^= 0x10;
        fs::write(bench.bundle(), &corrupt).unwrap();
        refused(&bench, &list);
    }
}

#[test]
fn a_bundle_of_something_else() {
    let (mut bench, mut other) = (Bench::new(), Bench::new());
    bench.file("a", b"right").file("b", &noise(9 << 20, 5));
    other.file("a", b"wrong").file("b", &noise(9 << 20, 5));
    let list = bench.pack();
    other.pack();
    fs::copy(other.bundle(), bench.bundle()).unwrap();
    let error = refused(&bench, &list);
    assert!(matches!(&error, UnpackError::Contents { path, .. } if path == "a"), "{error}");

    // The same where only the end of a file that spans frames differs.
    let mut contents = noise(9 << 20, 5);
    *contents.last_mut().unwrap() ^= 1;
    let mut other = Bench::new();
    other.file("a", b"right").file("b", &contents);
    other.pack();
    fs::copy(other.bundle(), bench.bundle()).unwrap();
    let error = refused(&bench, &list);
    assert!(matches!(&error, UnpackError::Contents { path, .. } if path == "b"), "{error}");
}

#[test]
fn a_frame_that_would_decode_to_more() {
    let mut bench = Bench::new();
    bench.file("a", &[0; 1000]);
    let list = bench.pack();
    let mut bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let mut table = SeekTable::default();
    table.push(bomb.len() as u32, Layout::new(&list).total_len() as u32);
    bomb.extend(table.to_bytes());
    fs::write(bench.bundle(), bomb).unwrap();
    let error = refused(&bench, &list);
    assert!(matches!(error, UnpackError::Frame { frame: 0 }), "{error}");
}

#[test]
fn a_prefix_that_is_not_empty_or_not_a_folder() {
    let mut bench = Bench::new();
    bench.file("a", b"a");
    let list = bench.pack();
    fs::create_dir(bench.prefix()).unwrap();
    fs::write(bench.prefix().join("b"), b"keep").unwrap();
    let error = bench.unpack(&list).unwrap_err();
    assert!(error.to_string().contains("prefix"), "{error}");
    assert_eq!(fs::read(bench.prefix().join("b")).unwrap(), b"keep");
    assert_eq!(fs::read_dir(bench.prefix()).unwrap().count(), 1);

    disk::remove_tree(&bench.prefix()).unwrap();
    let elsewhere = bench.scratch.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, bench.prefix()).unwrap();
    bench.unpack(&list).unwrap_err();
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn removing_never_follows_links() {
    let bench = Bench::new();
    let keep = bench.source().join("keep");
    fs::write(&keep, b"keep").unwrap();
    fs::create_dir_all(bench.prefix().join("a/b")).unwrap();
    symlink(bench.source(), bench.prefix().join("a/link")).unwrap();
    disk::remove_tree(&bench.prefix()).unwrap();
    disk::remove_tree(&bench.prefix()).unwrap();
    symlink(bench.source(), bench.prefix()).unwrap();
    disk::remove_tree(&bench.prefix()).unwrap();
    assert_eq!(fs::read(keep).unwrap(), b"keep");
}

#[test]
fn the_audit_finds_everything_at_once() {
    let mut bench = Bench::new();
    bench
        .file("changed", b"a")
        .file("folder/missing", b"b")
        .file("mode", b"c")
        .file("kind", b"d")
        .file("through/file", b"e")
        .link("link", "changed")
        .file("env/ignored", b"f")
        .file("fine", b"g");
    let list = bench.pack();
    bench.unpack(&list).unwrap();
    let prefix = bench.prefix();
    fs::write(prefix.join("changed"), b"z").unwrap();
    fs::remove_file(prefix.join("folder/missing")).unwrap();
    fs::set_permissions(prefix.join("mode"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::remove_file(prefix.join("kind")).unwrap();
    fs::create_dir(prefix.join("kind")).unwrap();
    fs::rename(prefix.join("through"), bench.scratch.path().join("moved")).unwrap();
    symlink("../moved", prefix.join("through")).unwrap();
    fs::remove_file(prefix.join("link")).unwrap();
    symlink("fine", prefix.join("link")).unwrap();
    fs::create_dir_all(prefix.join("new/deep")).unwrap();
    fs::write(prefix.join("env/built"), b"").unwrap();
    fs::remove_file(prefix.join("env/ignored")).unwrap();

    let ignore: [RelPath; 1] = ["env".parse().unwrap()];
    let findings = audit(&list, &prefix, &ignore).unwrap();
    let found: Vec<_> =
        findings.iter().map(|finding| (finding.path.to_str().unwrap(), &finding.problem)).collect();
    let (expected, changed) = (Digest::of(b"a"), Digest::of(b"z"));
    let (folder, file, link) = ("a folder", "a file", "a link");
    let links = ("changed".to_owned(), "fine".to_owned());
    assert_eq!(
        found,
        [
            ("changed", &Problem::Changed { expected, found: changed }),
            ("folder/missing", &Problem::Missing),
            ("kind", &Problem::WrongKind { expected: file, found: folder }),
            ("link", &Problem::WrongLink { expected: links.0, found: links.1 }),
            ("mode", &Problem::WrongMode { expected: 0o644, found: 0o4755 }),
            ("new", &Problem::Unexpected),
            ("through", &Problem::WrongKind { expected: folder, found: link }),
            ("through/file", &Problem::Missing),
        ]
    );
}

#[test]
fn an_inventory_of_what_was_built() {
    let bench = Bench::new();
    let (prefix, env): (_, RelPath) = (bench.prefix(), "env".parse().unwrap());
    fs::create_dir_all(prefix.join("env/bin")).unwrap();
    symlink("/usr/bin/python3", prefix.join("env/bin/python")).unwrap();
    fs::write(prefix.join("env/bin/A"), b"upper").unwrap();
    fs::write(prefix.join("env/bin/a"), b"lower").unwrap();
    fs::set_permissions(prefix.join("env/bin/a"), fs::Permissions::from_mode(0o600)).unwrap();
    let taken = Inventory::take(&prefix, &env, "a test").unwrap();
    let text = serde_json::to_string(&taken).unwrap();
    let inventory: Inventory = serde_json::from_str(&text).unwrap();
    assert_eq!(inventory, taken);
    fs::write(prefix.join("beside"), b"not in the folder").unwrap();
    assert_eq!(inventory.audit(&prefix).unwrap(), []);

    fs::write(prefix.join("env/bin/a"), b"other").unwrap();
    fs::write(prefix.join("env/new"), b"").unwrap();
    let findings = inventory.audit(&prefix).unwrap();
    let paths: Vec<_> = findings.iter().map(|finding| finding.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["env/bin/a", "env/new"]);
    disk::remove_tree(&prefix.join("env")).unwrap();
    let findings = inventory.audit(&prefix).unwrap();
    assert!(findings.iter().all(|finding| finding.problem == Problem::Missing));
    assert_eq!(findings.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_tree(
        files in prop::collection::btree_map(
            "[a-c](/[a-cé][a-z ]{0,3}){0,3}", (0_usize..1_500_000, any::<u64>()), 0..12,
        ),
    ) {
        let mut bench = Bench::new();
        let is_folder = |path: &str| files.keys().any(|other| other.starts_with(&format!("{path}/")));
        for (path, (len, seed)) in &files {
            if is_folder(path) {
                bench.folder(path);
            } else {
                bench.file(path, &noise(*len, *seed));
            }
        }
        let list = bench.pack();
        bench.unpack(&list).unwrap();
        for entry in &bench.entries {
            if let Source::File { source, .. } = &entry.kind {
                let found = fs::read(bench.prefix().join(entry.path.as_path())).unwrap();
                prop_assert!(found == fs::read(source).unwrap());
            }
        }
        prop_assert_eq!(audit(&list, &bench.prefix(), &[]).unwrap(), vec![]);
    }
}
