//! The audit: does a prefix still hold exactly what is signed?
//!
//! Every path is looked at and every file hashed again, on all processors. All that is wrong is
//! said at once. What a node may change is left alone: modification times, owners, and the
//! set-group-id bit that folders inherit.

mod inventory;
mod standing;

use std::path::{Path, PathBuf};

use cutover_formats::digest::Digest;
use cutover_formats::filelist::FileList;
use cutover_formats::path::RelPath;
use serde::Serialize;

pub use self::inventory::Inventory;
pub(crate) use self::standing::hash;
use self::standing::{Standing, compare};
use crate::disk::{DiskError, Folder};

/// One path that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Below the prefix.
    pub path: PathBuf,
    /// What is wrong with it.
    #[serde(flatten)]
    pub problem: Problem,
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// Nothing is there.
    Missing,
    /// Something is there that should not be. Of a folder, what is in it is not listed.
    Unexpected,
    /// Its contents are others.
    Changed {
        /// What they should be.
        expected: Digest,
        /// What they are.
        found: Digest,
    },
    /// Its permission bits are others.
    WrongMode {
        /// What they should be.
        expected: u32,
        /// What they are.
        found: u32,
    },
    /// It is something else than it should be.
    WrongKind {
        /// `file`, `folder` or `link`.
        expected: &'static str,
        /// What it is: one of these or `something else`.
        found: &'static str,
    },
    /// It was rendered with other contents, which may hold secrets and are not told by a digest.
    Edited,
    /// It is a link that points elsewhere.
    WrongLink {
        /// Where it should point.
        expected: String,
        /// Where it does.
        found: String,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Missing => write!(f, "{path}: is missing"),
            Problem::Unexpected => write!(f, "{path}: should not be there"),
            Problem::Changed { expected, found } => {
                write!(f, "{path}: has contents with sha256 {found} instead of {expected}")
            }
            Problem::Edited => write!(f, "{path}: has other contents than were rendered"),
            Problem::WrongMode { expected, found } => {
                write!(f, "{path}: has mode {found:o} instead of {expected:o}")
            }
            Problem::WrongKind { expected, found } => {
                write!(f, "{path}: is {found}, should be {expected}")
            }
            Problem::WrongLink { expected, found } => {
                write!(f, "{path}: links to {found:?} instead of {expected:?}")
            }
        }
    }
}

/// Everything in `prefix` that is not as `list` says, in the order of paths. What stands at or
/// below the paths in `ignore` is not looked at.
pub fn audit(
    list: &FileList,
    prefix: &Path,
    ignore: &[RelPath],
) -> Result<Vec<Finding>, DiskError> {
    let expected: Vec<(&RelPath, Standing)> = list
        .entries()
        .iter()
        .filter(|entry| !covered(ignore, entry.path.as_str()))
        .map(|entry| (&entry.path, Standing::from(&entry.kind)))
        .collect();
    compare(&Folder::open(prefix)?, None, &expected, ignore)
}

/// Whether `path` is one of `paths` or below one.
fn covered(paths: &[RelPath], path: &str) -> bool {
    paths.iter().any(|above| {
        path.strip_prefix(above.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}
