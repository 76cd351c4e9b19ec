//! The gate's small files: JSON, replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes that are read of a record.
const LARGEST: u64 = 1 << 20;

/// Writes `value` so that after a power cut, too, either the old record is there or the new one.
pub(super) fn save(path: &Path, value: &impl Serialize) -> io::Result<()> {
    replace(path, value, File::sync_all)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes `value`, which means nothing once the machine has ended: whoever is killed leaves the old
/// record or the new one, and nobody waits for the disk.
pub(super) fn note(path: &Path, value: &impl Serialize) -> io::Result<()> {
    replace(path, value, |_| Ok(()))
}

fn replace(
    path: &Path,
    value: &impl Serialize,
    settle: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    let new = temporary(path);
    let replaced = File::create(&new).and_then(|mut file| {
        file.write_all(&bytes)?;
        settle(&file)?;
        fs::rename(&new, path)
    });
    if replaced.is_err() {
        // What matters is why it failed.
        let _ = clear(&new);
    }
    replaced
}

/// Removes what somebody left who was killed while writing a record, and whom nobody can follow yet.
pub(super) fn sweep(path: &Path) -> io::Result<()> {
    clear(&temporary(path))
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("json.new")
}

/// Reads a record; `None` where there is none.
pub(super) fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(LARGEST).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Removes a record; it need not be there.
pub(super) fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
