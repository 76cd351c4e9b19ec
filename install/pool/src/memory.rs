//! How the node stood in its pool before it was taken out: `state/pool.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cutover_node::disk::{self, DiskError};
use cutover_node::root::Root;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Places where the pool knows this node, each with how it stands there, in the driver's words.
pub type Places = BTreeMap<String, String>;

/// A node that is depooled, or about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depooled {
    /// Since when.
    pub since: Timestamp,
    /// How it stood before.
    pub places: Places,
}

/// What survives a crash.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
}

impl Memory {
    pub(super) fn of(root: &Root) -> Self {
        Self { path: root.pool() }
    }

    /// What is remembered.
    pub(super) fn recall(&self) -> Result<Option<Depooled>, DiskError> {
        disk::read_json(&self.path)
    }

    /// Remembers `places`, where `before` is what was remembered until now.
    pub(super) fn keep(&self, before: Option<Depooled>, places: &Places) -> Result<(), DiskError> {
        match before {
            Some(before) if before.places == *places => Ok(()),
            before => {
                let since = before.map_or_else(Timestamp::now, |before| before.since);
                disk::write_json(&self.path, &Depooled { since, places: places.clone() })
            }
        }
    }

    /// All is as it was.
    pub(super) fn forget(&self) -> Result<(), DiskError> {
        disk::remove_file(&self.path)?;
        match self.path.parent() {
            Some(folder) => disk::sync_folder(folder),
            None => Ok(()),
        }
    }
}
