//! What an audit finds.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use cutover_formats::digest::Digest;
use cutover_formats::path::RelPath;
use cutover_install::audit::{Inventory, Problem, audit};
use cutover_install::disk;

use crate::bench::Bench;

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
