//! Trees that are not packed.

use std::fs;

use cutover_formats::exit::{Exit, Explain as _};
use cutover_pack::bundle::{BundleError, Options, Source};

use crate::bench::{Bench, noise};

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
    clash.file("README", b"").file("READ\u{200b}ME", b"");
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
