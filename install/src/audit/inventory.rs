//! The inventory: what stood in a folder that the node built itself when it was built.

use std::collections::HashMap;
use std::path::Path;

use cutover_formats::digest::Digest;
use cutover_formats::path::RelPath;
use serde::{Deserialize, Serialize};

use super::standing::{Standing, compare, damage, in_parallel, walk};
use super::{Depth, Finding, Look};
use crate::disk::{DiskError, Folder};

/// What stood in a folder that the node built itself (a Python environment, say) when it was built.
///
/// Unlike a file list it is not foreign: links may leave the prefix, names may clash, modes may be
/// any. It is never used to create anything, only to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    folder: RelPath,
    /// What built it.
    #[serde(default)]
    builder: Option<String>,
    entries: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    path: RelPath,
    #[serde(flatten)]
    standing: Standing,
}

impl Inventory {
    /// Records what `builder` has made to stand in `folder` of `prefix`, in the order of paths.
    pub fn take(prefix: &Path, folder: &RelPath, builder: &str) -> Result<Self, DiskError> {
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
        Ok(Self { folder: folder.clone(), builder: Some(builder.to_owned()), entries })
    }

    /// The folder that was recorded.
    #[must_use]
    pub fn folder(&self) -> &RelPath {
        &self.folder
    }

    /// What built it; `None` where an older program wrote this down.
    #[must_use]
    pub fn builder(&self) -> Option<&str> {
        self.builder.as_deref()
    }

    /// Everything that was there, by path.
    pub fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.entries.iter().map(|item| &item.path)
    }

    /// The digest of every file that was there, by path.
    #[must_use]
    pub fn digests(&self) -> HashMap<&str, Digest> {
        let files = self.entries.iter().filter_map(|item| match &item.standing {
            Standing::File { sha256, .. } => Some((item.path.as_str(), *sha256)),
            _ => None,
        });
        files.collect()
    }

    /// What stood at `path`, and whether it still does; `None` where nothing stood there.
    pub fn look(&self, prefix: &Path, path: &RelPath) -> Result<Option<Look>, DiskError> {
        let found = self.entries.iter().find(|item| item.path == *path);
        found.map(|item| Look::at(prefix, path, item.standing.clone())).transpose()
    }

    /// What of it is gone or has become something else, in the order of paths.
    pub fn damage(&self, prefix: &Path, depth: Depth) -> Result<Vec<Finding>, DiskError> {
        let expected: Vec<(&RelPath, Standing)> =
            self.entries.iter().map(|item| (&item.path, item.standing.clone())).collect();
        damage(&Folder::open(prefix)?, &expected, depth)
    }

    /// Everything in the folder that is not as it was, in the order of paths.
    pub fn audit(&self, prefix: &Path) -> Result<Vec<Finding>, DiskError> {
        let expected: Vec<(&RelPath, Standing)> =
            self.entries.iter().map(|item| (&item.path, item.standing.clone())).collect();
        compare(&Folder::open(prefix)?, Some(&self.folder), &expected, &[])
    }
}
