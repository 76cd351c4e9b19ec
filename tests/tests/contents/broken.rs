//! Bundles that are not what was signed.

use std::fs;

use cutover_formats::bundle::{Layout, SeekTable};
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::filelist::FileList;
use cutover_install::disk;
use cutover_install::unpack::UnpackError;

use crate::bench::{Bench, noise};

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
