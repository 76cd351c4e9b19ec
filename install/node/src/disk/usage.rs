//! How much room there is, and how much something takes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{DiskError, Doing as _};

/// Bytes that are free, for this user, on the file system that holds `path`.
pub fn free_space(path: &Path) -> Result<u64, DiskError> {
    let found = rustix::fs::statvfs(path).doing("read", path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Bytes on disk of a file, or of a folder and all below it; nothing where nothing is. Links are not
/// followed.
pub fn taken(path: &Path) -> Result<u64, DiskError> {
    const BLOCK: u64 = 512;
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        meta => meta.doing("read", path)?,
    };
    let mut bytes = meta.blocks().saturating_mul(BLOCK);
    if meta.is_dir() {
        for entry in fs::read_dir(path).doing("read", path)? {
            bytes = bytes.saturating_add(taken(&entry.doing("read", path)?.path())?);
        }
    }
    Ok(bytes)
}
