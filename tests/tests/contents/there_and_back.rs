//! What comes out is what went in, and the same bytes stand for the same tree.

use std::fs;
use std::num::NonZero;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use cutover_formats::digest::Digest;
use cutover_install::audit::audit;
use cutover_pack::bundle::{Options, Source};
use proptest::prelude::*;

use crate::bench::{Bench, TIME, noise, tree};

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
    let list = "15b68578a5ccffe36153aa532b3f4c7f417f1bfb3fea95da5441dd8334915ee1";
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
