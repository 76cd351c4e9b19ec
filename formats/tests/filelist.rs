//! File lists: the golden vector, and every way in which a list is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::filelist::{
    Entry, Expected, FileList, InvalidFileList, Kind, MOST_BYTES, Objection,
};
use cutover_formats::name::Product;
use cutover_formats::version::Version;

fn weave() -> (Product, Version) {
    ("weave".parse().unwrap(), Version::new(1, 1, 4))
}

fn entry(path: &str, kind: Kind) -> Entry {
    Entry { path: path.parse().unwrap(), kind }
}

fn file(path: &str, contents: &[u8]) -> Entry {
    let (size, sha256) = (contents.len() as u64, Digest::of(contents));
    entry(path, Kind::File { executable: path.ends_with("run"), size, sha256 })
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, Kind::Link { target: target.to_owned() })
}

fn list(entries: Vec<Entry>) -> Result<FileList, InvalidFileList> {
    let (product, version) = weave();
    FileList::new(product, version, 1_700_000_000, entries)
}

fn small() -> FileList {
    let folder = |path| entry(path, Kind::Folder);
    list(vec![
        file("a \"quoted\" name", b""),
        folder("bin"),
        file("bin/run", b"#!/bin/sh\n"),
        link("current", "bin/../bin/run"),
        file("ünï", b"hello"),
    ])
    .unwrap()
}

type Change = fn(&mut Expected<'_>);

/// Holds `bytes` to what is true of them, except for what `change` says.
fn parse(
    bytes: &[u8],
    like: &FileList,
    change: impl FnOnce(&mut Expected<'_>),
) -> Result<FileList, InvalidFileList> {
    let mut expected = Expected {
        product: like.product(),
        version: like.version(),
        time: like.time(),
        sha256: Digest::of(bytes),
        size: bytes.len() as u64,
        text_sha256: Digest::of(&zstd::decode_all(bytes).unwrap_or_default()),
        entries: like.entries().len() as u64,
        bytes: like.bytes(),
    };
    change(&mut expected);
    FileList::parse(bytes, &expected)
}

fn compress(json: &str) -> Vec<u8> {
    zstd::bulk::compress(json.as_bytes(), 3).unwrap()
}

#[test]
fn golden() {
    let json = String::from_utf8(small().to_json()).unwrap();
    assert_eq!(json, include_str!("golden/files.json"));
    assert_eq!(small().to_bytes(), include_bytes!("golden/files.json.zst"));
}

#[test]
fn bytes_and_back() {
    let list = small();
    assert_eq!(parse(&list.to_bytes(), &list, |_| {}).unwrap(), list);
    let empty = self::list(Vec::new()).unwrap();
    assert_eq!(parse(&empty.to_bytes(), &empty, |_| {}).unwrap(), empty);
}

#[test]
fn what_is_signed_is_held_to() {
    let (list, bytes) = (small(), small().to_bytes());
    let changes: [(&str, Change); 6] = [
        ("time", |expected| expected.time += 1),
        ("sha256", |expected| expected.sha256 = Digest::of(b"other")),
        ("size", |expected| expected.size += 1),
        ("text_sha256", |expected| expected.text_sha256 = Digest::of(b"other")),
        ("number of entries", |expected| expected.entries += 1),
        ("sum of file sizes", |expected| expected.bytes += 1),
    ];
    for (name, change) in changes {
        unexpected(name, &parse(&bytes, &list, change).unwrap_err());
    }
    let (product, version) = ("other".parse().unwrap(), Version::new(9, 9, 9));
    let entries = || list.entries().to_vec();
    let other = FileList::new(product, list.version().clone(), list.time(), entries()).unwrap();
    unexpected("product", &parse(&bytes, &other, |_| {}).unwrap_err());
    let other = FileList::new(list.product().clone(), version, list.time(), entries()).unwrap();
    unexpected("version", &parse(&bytes, &other, |_| {}).unwrap_err());
}

fn unexpected(name: &str, error: &InvalidFileList) {
    let right = matches!(error, InvalidFileList::Unexpected { what, .. } if *what == name);
    assert!(right, "{name}: {error}");
    assert_eq!(error.exit(), Exit::NotTrusted);
}

/// A list of `entries`, one JSON object each, that is right in every other way.
fn refusal(entries: &[&str]) -> InvalidFileList {
    let json = format!(
        r#"{{"format":"cutover.files/1.0","product":"weave","version":"1.1.4","time":1700000000,"entries":[{}]}}"#,
        entries.join(",")
    );
    let bytes = compress(&json);
    let like = list(Vec::new()).unwrap();
    let count = entries.len() as u64;
    let error = parse(&bytes, &like, |expected| expected.entries = count).unwrap_err();
    assert_eq!(error.exit(), Exit::NotTrusted, "{entries:?}");
    error
}

fn objection(entries: &[&str]) -> (String, Objection) {
    match refusal(entries) {
        InvalidFileList::Entry { path, objection } => (path, objection),
        other => panic!("{entries:?}: {other}"),
    }
}

fn folder_json(path: &str) -> String {
    format!(r#"{{"path":"{path}","kind":"folder"}}"#)
}

fn file_json(path: &str) -> String {
    let sha256 = Digest::of(b"");
    format!(r#"{{"path":"{path}","kind":"file","mode":"644","size":0,"sha256":"{sha256}"}}"#)
}

fn link_json(path: &str, target: &str) -> String {
    format!(r#"{{"path":"{path}","kind":"link","target":"{target}"}}"#)
}

#[test]
fn unsafe_paths() {
    let long = "x".repeat(256);
    let bad = [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../up",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a//b",
        "a/",
        r"nul\u0000",
        r"line\nbreak",
        r"\u001b[31m",
        r"\u0085",
        &long,
    ];
    for path in bad {
        let (_, objection) = objection(&[&file_json(path)]);
        assert!(matches!(objection, Objection::Path(_)), "{path}: {objection}");
    }
}

#[test]
fn unsafe_links() {
    let long = "x/".repeat(1025);
    let bad = [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../..",
        "a/../..",
        "./../a",
        "a/../../a",
        r"x\u0000",
        r"x\ny",
        &long,
    ];
    for target in bad {
        let (path, objection) = objection(&[&link_json("link", target)]);
        assert!(matches!(objection, Objection::Target { .. }), "{target}: {objection}");
        assert_eq!(path, "link");
    }
}

#[test]
fn links_that_leave_by_way_of_links() {
    // `a/b/up` is the prefix itself, which is fine; one further up by way of it is not.
    let chain = [
        folder_json("a"),
        folder_json("a/b"),
        link_json("a/b/up", "../.."),
        link_json("x", "a/b/up/.."),
    ];
    let (path, left) = objection(&chain.each_ref().map(String::as_str));
    assert_eq!(path, "x");
    assert!(matches!(left, Objection::Target { .. }), "{left}");
    let (_, loops) = objection(&[&link_json("a", "b"), &link_json("b", "a")]);
    assert!(matches!(loops, Objection::Target { .. }), "{loops}");
}

#[test]
fn harmless_links() {
    let entries = vec![
        entry("a", Kind::Folder),
        link("a/dangling", "nowhere/at/all"),
        link("a/slash", "../b/"),
        link("a/top", ".."),
        entry("b", Kind::Folder),
        link("b/dots", "./.././b/../a/..data"),
    ];
    list(entries).unwrap();
}

#[test]
fn paths_that_clash() {
    let twice = objection(&[&file_json("a"), &file_json("a")]);
    assert_eq!(twice, ("a".to_owned(), Objection::Repeated));
    let unordered = objection(&[&file_json("b"), &file_json("a")]);
    assert_eq!(unordered, ("a".to_owned(), Objection::Order { after: "b".to_owned() }));
    let pairs = [("ab", "a\u{200d}b"), ("AB", "a\u{200d}b")];
    for (first, second) in pairs {
        let (path, clash) = objection(&[&file_json(first), &file_json(second)]);
        assert_eq!(path, second);
        assert_eq!(clash, Objection::Unseen { with: first.to_owned() });
    }
}

/// Whether they can stand on a node is for its file system to say.
#[test]
fn names_that_are_one_where_they_are_folded() {
    let pairs = [
        ("README", "readme"),
        ("STRASSE", "stra\u{df}e"),
        ("cafe\u{301}", "caf\u{e9}"),
        ("k", "\u{212a}"),
    ];
    for (first, second) in pairs {
        let list = list(vec![link(first, "x"), link(second, "x")]).unwrap();
        assert_eq!(list.folding_names(), [(first, second)]);
    }
    // A folder that differs by case would let its files take the place of others.
    let entries = vec![
        entry("LIB", Kind::Folder),
        link("LIB/a", "x"),
        entry("lib", Kind::Folder),
        link("lib/a", "x"),
        link("other", "x"),
    ];
    let list = list(entries).unwrap();
    assert_eq!(list.folding_names(), [("LIB", "lib"), ("LIB/a", "lib/a")]);
}

#[test]
fn paths_without_a_folder() {
    assert_eq!(objection(&[&file_json("a/b")]).1, Objection::NoFolder);
    for at in [file_json("a"), link_json("a", "b")] {
        let through = Objection::Through { through: "a".to_owned() };
        assert_eq!(objection(&[&at, &file_json("a/b")]).1, through);
        assert_eq!(objection(&[&at, &file_json("a/b/c")]).1, through);
    }
}

#[test]
fn fields() {
    let sha256 = Digest::of(b"");
    for mode in ["4755", "2755", "1755", "777", "0644", "600", ""] {
        let json =
            format!(r#"{{"path":"a","kind":"file","mode":"{mode}","size":0,"sha256":"{sha256}"}}"#);
        assert_eq!(objection(&[&json]).1, Objection::Mode(mode.to_owned()));
    }
    for kind in ["fifo", "device", "hardlink", "File", ""] {
        let json = format!(r#"{{"path":"a","kind":"{kind}"}}"#);
        assert_eq!(objection(&[&json]).1, Objection::UnknownKind(kind.to_owned()));
    }
    let wrong = [
        (r#"{"path":"a","kind":"file"}"#, "mode"),
        (r#"{"path":"a","kind":"file","mode":"644"}"#, "size"),
        (r#"{"path":"a","kind":"file","mode":"644","size":0}"#, "sha256"),
        (r#"{"path":"a","kind":"link"}"#, "target"),
        (r#"{"path":"a","kind":"folder","mode":"755"}"#, "mode"),
        (r#"{"path":"a","kind":"folder","target":"b"}"#, "target"),
        (r#"{"path":"a","kind":"link","target":"b","size":1}"#, "size"),
    ];
    for (json, field) in wrong {
        assert_eq!(objection(&[json]).1, Objection::Field(field), "{json}");
    }
}

#[test]
fn shapes() {
    let shapeless = [
        r#"{"path":"a","path":"b","kind":"folder"}"#,
        r#"{"path":"a","kind":"folder","kind":"file"}"#,
        r#"{"path":"a","kind":"file","mode":"644","size":-1,"sha256":""}"#,
        r#"{"path":"a","kind":"file","mode":"644","size":1.5,"sha256":""}"#,
        r#"{"path":"a","kind":"file","mode":"644","size":0,"sha256":"00"}"#,
        r#"{"kind":"folder"}"#,
        "7",
    ];
    for json in shapeless {
        let error = refusal(&[json]);
        assert!(matches!(error, InvalidFileList::Shape(_)), "{json}: {error}");
    }
}

#[test]
fn sizes_beyond_any_bundle() {
    for size in [MOST_BYTES + 1, u64::MAX] {
        let one = file_json("a").replace(r#""size":0"#, &format!(r#""size":{size}"#));
        let two = one.replace(r#""a""#, r#""b""#);
        let error = refusal(&[&one, &two]);
        assert!(matches!(error, InvalidFileList::TooLarge { what: "bytes", .. }), "{error}");
    }
    let error = FileList::new(weave().0, weave().1, u64::MAX, Vec::new()).unwrap_err();
    assert!(matches!(error, InvalidFileList::TooLarge { what: "time", .. }), "{error}");
}

#[test]
fn compression_that_is_refused() {
    let empty = list(Vec::new()).unwrap();
    let good = empty.to_bytes();
    let bomb = zstd::bulk::compress(&vec![b' '; 64 << 20], 3).unwrap();
    let mut without_size = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    std::io::copy(&mut &empty.to_json()[..], &mut without_size).unwrap();
    let mut corrupt = good.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let cases = [
        Vec::new(),
        b"not zstd".to_vec(),
        good[..good.len() - 1].to_vec(),
        [&good[..], &good[..]].concat(),
        [&good[..], b"x"].concat(),
        without_size.finish().unwrap(),
        bomb,
        corrupt,
    ];
    for bytes in cases {
        let error = parse(&bytes, &empty, |_| {}).unwrap_err();
        assert!(matches!(error, InvalidFileList::Compression(_)), "{error}");
    }
}

#[test]
fn other_formats() {
    let empty = list(Vec::new()).unwrap();
    for format in ["cutover.files/2.0", "cutover.release/1.0"] {
        let bytes = compress(&format!(r#"{{"format":"{format}","everything":"else"}}"#));
        let error = parse(&bytes, &empty, |_| {}).unwrap_err();
        assert!(matches!(error, InvalidFileList::Format(_)), "{error}");
        assert_eq!(error.exit(), Exit::Usage);
    }
    let later = r#"{"format":"cutover.files/1.3","product":"weave","version":"1.1.4","time":1700000000,"more":[],"entries":[]}"#;
    assert_eq!(parse(&compress(later), &empty, |_| {}).unwrap(), empty);
}
