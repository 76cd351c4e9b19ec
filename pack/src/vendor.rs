//! Third-party distributions that become part of a release.
//!
//! They are locked by digest in the source tree, fetched once into a [cache] that is addressed by
//! digest, verified each time they are used, and packed straight from there.

mod cache;
mod error;
mod file;
mod python;

use std::path::PathBuf;

use cutover_formats::descriptor::Vendored;
use cutover_terminal::Output;

use crate::source::SourceTree;

pub(crate) use cache::Cache;
pub(crate) use error::VendorError;

/// A distribution and where its verified bytes lie on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// What the descriptor says of it.
    pub(crate) record: Vendored,
    /// The cached file.
    pub(crate) file: PathBuf,
}

/// Everything that `release.toml` wants vendored, sorted as in the descriptor.
pub(crate) fn fetch(
    tree: &SourceTree,
    cache: &Cache,
    output: &Output,
) -> Result<Vec<Fetched>, VendorError> {
    let mut fetched = Vec::new();
    if let Some(settings) = &tree.manifest.vendor.python {
        fetched.extend(python::fetch(tree.folder(), settings, cache, output)?);
    }
    for wanted in &tree.manifest.vendor.file {
        fetched.push(file::fetch(wanted, cache, output)?);
    }
    fetched.sort_by(|a, b| a.record.cmp(&b.record));
    Ok(fetched)
}

/// Whether these are the bytes of a requirements file in which everything is pinned and hashed.
pub(crate) fn is_lock(bytes: &[u8]) -> bool {
    cutover_pack::lock::Lock::parse(bytes).is_ok()
}

#[cfg(test)]
mod tests;
