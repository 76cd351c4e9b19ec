//! The prefix: what is in its place stays, and whatever is removed leads nowhere else.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::time::{Duration, SystemTime};

use cutover_install::audit::audit;
use cutover_install::disk;

use crate::bench::{Bench, TIME, noise, tree};

#[test]
fn something_else_in_the_place_of_the_prefix() {
    let mut bench = Bench::new();
    bench.file("a", b"a");
    let list = bench.pack();
    let elsewhere = bench.scratch.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("keep"), b"keep").unwrap();
    for put in [
        &(|| fs::create_dir(bench.prefix()).unwrap()) as &dyn Fn(),
        &|| fs::write(bench.prefix(), b"a file").unwrap(),
        &|| symlink(&elsewhere, bench.prefix()).unwrap(),
        &|| {
            fs::create_dir(bench.prefix()).unwrap();
            symlink(&elsewhere, bench.prefix().join("a")).unwrap();
            fs::write(bench.prefix().join("b"), b"foreign").unwrap();
        },
    ] {
        put();
        bench.unpack(&list).unwrap();
        assert_eq!(tree(&bench.prefix()).len(), 1);
        assert_eq!(audit(&list, &bench.prefix(), &[]).unwrap(), []);
        assert_eq!(tree(&elsewhere).len(), 1);
        disk::remove_tree(&bench.prefix()).unwrap();
    }
}

/// What an earlier try left is used as far as it is right, and everything else is not.
#[test]
fn what_stands_there_is_looked_at_again() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        bench.file(&format!("{name}/file"), &noise(4 << 20, name.as_bytes()[0].into()));
    }
    bench.file("empty", b"").link("link", "a/file").folder("hollow");
    let list = bench.pack();
    assert_eq!(bench.unpack(&list).unwrap().frames.len(), 7);
    let whole = tree(&bench.prefix());
    assert_eq!(bench.unpack(&list).unwrap().frames, [0_u64; 0], "all of it is there");
    assert_eq!(tree(&bench.prefix()), whole);

    let path = |name: &str| bench.prefix().join(name);
    let (first, last) = (path("a/file"), path("f/file"));
    let spoil: [(&str, &dyn Fn()); 9] = [
        ("gone", &|| fs::remove_file(&last).unwrap()),
        ("of another size", &|| {
            fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(9).unwrap()
        }),
        ("of another mode", &|| {
            fs::set_permissions(&last, fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("known by another name", &|| {
            fs::hard_link(&last, bench.scratch.path().join("also")).unwrap();
        }),
        ("of somebody else", &|| chown(&last, Some(65534), None).unwrap()),
        ("in a folder of somebody else", &|| chown(path("f"), Some(65534), None).unwrap()),
        ("a link", &|| {
            fs::remove_file(&last).unwrap();
            symlink("../a/file", &last).unwrap();
        }),
        ("in the place of a folder", &|| {
            fs::remove_dir_all(path("f")).unwrap();
            fs::write(path("f"), b"").unwrap();
        }),
        ("changed, and of the right time", &|| {
            let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
            file.write_all_at(b"other", 4000).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
            file.set_modified(time).unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        let kept = fs::metadata(&first).unwrap().ino();
        fs::create_dir_all(path("stray/folder")).unwrap();
        fs::remove_file(path("link")).unwrap();
        symlink("/etc", path("link")).unwrap();
        spoil();
        assert_eq!(bench.unpack(&list).unwrap().frames, [5, 6], "{what}");
        assert_eq!(tree(&bench.prefix()), whole, "{what}");
        assert_eq!(audit(&list, &bench.prefix(), &[]).unwrap(), [], "{what}");
        assert_eq!(fs::metadata(&first).unwrap().ino(), kept, "{what}");
    }
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
