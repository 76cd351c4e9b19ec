//! The audit: does a prefix still hold exactly what is signed?

use std::path::{Path, PathBuf};

use cutover_formats::digest::Digest;
use cutover_formats::filelist::FileList;
use cutover_formats::path::RelPath;
use serde::{Deserialize, Serialize};

use crate::disk::DiskError;

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
    /// Something is there that should not be.
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
        /// What it is.
        found: &'static str,
    },
    /// It is a link that points elsewhere.
    WrongLink {
        /// Where it should point.
        expected: String,
        /// Where it does.
        found: String,
    },
}

/// Everything in `prefix` that is not as `list` says, in the order of paths. What stands at or
/// below the paths in `ignore` is not looked at.
pub fn audit(
    list: &FileList,
    prefix: &Path,
    ignore: &[RelPath],
) -> Result<Vec<Finding>, DiskError> {
    let _ = (list, prefix, ignore);
    Ok(Vec::new())
}

/// What stood in a folder that the node built itself (a Python environment, say) when it was built.
///
/// Unlike a file list it is not foreign: links may leave the prefix, names may clash, modes may be
/// any. It is never used to create anything, only to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    folder: RelPath,
}

impl Inventory {
    /// Records what stands in `folder` of `prefix`.
    pub fn take(prefix: &Path, folder: &RelPath) -> Result<Self, DiskError> {
        let _ = prefix;
        Ok(Self { folder: folder.clone() })
    }

    /// Everything in the folder that is not as it was.
    pub fn audit(&self, prefix: &Path) -> Result<Vec<Finding>, DiskError> {
        let _ = prefix;
        Ok(Vec::new())
    }
}
