//! `SHA256SUMS`: the digests of a release's files as `sha256sum -c` reads them.
//!
//! A pure function of the signed descriptor, so whoever publishes a release writes the same bytes.
//! Each file stands in it by both names that it may have once it is saved: its own, and the one in
//! the repository, with its digest before it. `sha256sum -c --ignore-missing SHA256SUMS` checks
//! those that are there, and fails where none is.

use std::fmt::Write as _;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::path::FileName;

/// The `SHA256SUMS` of a release whose descriptor has the digest `sha256`.
///
/// # Panics
/// Where the descriptor was put together without a bundle; a parsed descriptor always has one.
#[must_use]
pub fn of(release: &Descriptor, sha256: Digest) -> String {
    let bundle = release.bundle();
    let descriptor = crate::layout::descriptor_name();
    let files: [(&FileName, Digest); 4] = [
        (bundle.file, bundle.sha256),
        (&bundle.frames.file, bundle.frames.sha256),
        (&release.files.file, release.files.sha256),
        (&descriptor, sha256),
    ];
    let mut text = String::new();
    for (name, sha256) in files {
        let _ = writeln!(text, "{sha256}  {name}\n{sha256}  {sha256}.{name}");
    }
    text
}
