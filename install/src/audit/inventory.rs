//! The inventory: what stood in a folder that the node built itself when it was built.

use std::path::Path;

use cutover_formats::path::RelPath;
use serde::{Deserialize, Serialize};

use super::Finding;
use super::standing::{Standing, compare, in_parallel, walk};
use crate::disk::{DiskError, Folder};

/// What stood in a folder that the node built itself (a Python environment, say) when it was built.
///
/// Unlike a file list it is not foreign: links may leave the prefix, names may clash, modes may be
/// any. It is never used to create anything, only to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    folder: RelPath,
    entries: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    path: RelPath,
    #[serde(flatten)]
    standing: Standing,
}

impl Inventory {
    /// Records what stands in `folder` of `prefix`, in the order of paths.
    pub fn take(prefix: &Path, folder: &RelPath) -> Result<Self, DiskError> {
        let held = Folder::open(prefix)?;
        let mut paths: Vec<RelPath> = Vec::new();
        walk(&held, Some(folder), &mut |path, _| {
            let unnamable = |why: String| DiskError {
                doing: "record",
                path: prefix.join(path),
                source: std::io::Error::new(std::io::ErrorKind::InvalidFilename, why),
            };
            let text = path.to_str().ok_or_else(|| unnamable("it is not UTF-8".to_owned()))?;
            paths.push(text.parse().map_err(|why| unnamable(format!("{why}")))?);
            Ok(true)
        })?;
        paths.sort();
        let found = in_parallel(&paths, |path| Standing::read(&held, path))?;
        let there = paths.into_iter().zip(found);
        let entries = there
            .filter_map(|(path, standing)| standing.map(|standing| Item { path, standing }))
            .collect();
        Ok(Self { folder: folder.clone(), entries })
    }

    /// The folder that was recorded.
    #[must_use]
    pub fn folder(&self) -> &RelPath {
        &self.folder
    }

    /// Everything in the folder that is not as it was, in the order of paths.
    pub fn audit(&self, prefix: &Path) -> Result<Vec<Finding>, DiskError> {
        let expected: Vec<(&RelPath, Standing)> =
            self.entries.iter().map(|item| (&item.path, item.standing.clone())).collect();
        compare(&Folder::open(prefix)?, Some(&self.folder), &expected, &[])
    }
}
