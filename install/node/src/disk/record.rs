//! Small files of processes that do not hold the node's lock: JSON, replaced as a whole or not at all.
//!
//! What they begin to write is called otherwise than what whoever holds the lock does, who sweeps that.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DiskError, Doing as _, Permissions, Settle, json, remove_file, replace};

/// Most bytes that are read of a record.
const LARGEST: u64 = 1 << 20;

/// Writes `value` so that after a power cut, too, either the old record is there or the new one.
pub fn save(path: &Path, value: &impl Serialize) -> Result<(), DiskError> {
    replace(path, &temporary(path), &json(path, value)?, Permissions::Plain, Settle::OnDisk)
}

/// Writes `value`, which means nothing once the machine has ended: whoever is killed leaves the old
/// record or the new one, and nobody waits for the disk.
pub fn note(path: &Path, value: &impl Serialize) -> Result<(), DiskError> {
    replace(path, &temporary(path), &json(path, value)?, Permissions::Plain, Settle::InMemory)
}

/// Removes what somebody left who was killed while writing a record, and whom nobody can follow yet.
pub fn sweep(path: &Path) -> Result<(), DiskError> {
    remove_file(&temporary(path))
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("json.new")
}

/// Reads a record; `None` where there is none.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DiskError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => {
            read.doing("read", path)?;
            let value = serde_json::from_slice(&bytes);
            value.map(Some).map_err(io::Error::from).doing("understand", path)
        }
    }
}
