//! The prefix: what is in its place stays, and whatever is removed leads nowhere else.

use std::fs;
use std::os::unix::fs::symlink;

use cutover_install::disk;

use crate::bench::Bench;

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
