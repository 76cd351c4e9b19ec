//! Bundles that are not what was signed.

use std::fs;

use cutover_formats::bundle::{FrameTable, Layout};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::filelist::FileList;
use cutover_install::contents::ContentsError;
use cutover_install::disk;
use cutover_install::fetch::FetchError;

use crate::bench::{Bench, noise};

/// Refused with a typed error and this exit status, and nothing but the prefix touched.
fn refused(bench: &Bench, list: &FileList, exit: Exit) -> ContentsError {
    let before = bench.outside();
    let error = bench.unpack(list).unwrap_err();
    assert_eq!(error.exit(), exit, "{error}");
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
    let end = bench.table(&list).end() as usize;
    for len in [0, 1, 100, end / 2, end - 1] {
        fs::write(bench.bundle(), &bytes[..len]).unwrap();
        let error = refused(&bench, &list, Exit::Unreachable);
        assert!(matches!(error, ContentsError::Fetch(FetchError::Short { .. })), "{len}: {error}");
    }
}

#[test]
fn corrupt_bundles() {
    let mut bench = Bench::new();
    bench.file("a", &noise(5 << 20, 4)).file("b", &[1; 100_000]).link("c", "b");
    let list = bench.pack();
    let bytes = fs::read(bench.bundle()).unwrap();
    let end = bench.table(&list).end() as usize;
    for at in (0..end).step_by(end / 40).chain([end - 1]) {
        let mut corrupt = bytes.clone();
        corrupt[at] ^= 0x10;
        fs::write(bench.bundle(), &corrupt).unwrap();
        let error = refused(&bench, &list, Exit::NotTrusted);
        let wrong = |error| matches!(error, ContentsError::Fetch(FetchError::WrongFrame(_)));
        assert!(wrong(error), "{at}");
    }
}

/// The frames are what was signed, and hold other files than the list that was signed.
#[test]
fn a_bundle_of_something_else() {
    let (mut bench, mut other) = (Bench::new(), Bench::new());
    bench.file("a", b"right").file("b", &noise(9 << 20, 5));
    other.file("a", b"wrong").file("b", &noise(9 << 20, 5));
    let list = bench.pack();
    other.pack();
    fs::copy(other.bundle(), bench.bundle()).unwrap();
    refused(&bench, &list, Exit::NotTrusted);
    fs::copy(other.frames(), bench.frames()).unwrap();
    let error = refused(&bench, &list, Exit::NotTrusted);
    assert!(matches!(&error, ContentsError::File { path, .. } if path == "a"), "{error}");

    // The same where only the end of a file that spans frames differs.
    let mut contents = noise(9 << 20, 5);
    *contents.last_mut().unwrap() ^= 1;
    let mut other = Bench::new();
    other.file("a", b"right").file("b", &contents);
    other.pack();
    fs::copy(other.bundle(), bench.bundle()).unwrap();
    fs::copy(other.frames(), bench.frames()).unwrap();
    let error = refused(&bench, &list, Exit::NotTrusted);
    assert!(matches!(&error, ContentsError::File { path, .. } if path == "b"), "{error}");
}

#[test]
fn a_frame_that_would_decode_to_more() {
    let mut bench = Bench::new();
    bench.file("a", &[0; 1000]);
    let list = bench.pack();
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let mut table = FrameTable::default();
    let len = Layout::new(&list).total_len() as u32;
    table.push(bomb.len() as u32, len, Digest::of(&bomb));
    fs::write(bench.frames(), table.to_bytes()).unwrap();
    fs::write(bench.bundle(), [bomb, table.seek_table()].concat()).unwrap();
    let error = refused(&bench, &list, Exit::NotTrusted);
    assert!(matches!(error, ContentsError::Frame { frame: 0 }), "{error}");
}
