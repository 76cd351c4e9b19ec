//! Files that are written before they get their name, told from what dead processes left: a maker
//! holds a lock on its file, and the lock goes with it however it ends. Where the file system knows
//! no locks, nothing is ever swept.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::{Builder, NamedTempFile};

/// A new file in `folder` that no sweep takes away while it is open.
pub(crate) fn make(builder: &Builder<'_, '_>, folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let temp = builder.tempfile_in(folder)?;
        let _ = flock(temp.as_file(), FlockOperation::LockShared);
        if still_there(&temp)? {
            return Ok(temp);
        }
    }
}

/// Removes the files in `folder` whose names begin with `prefix` and whose makers are gone; how
/// many those were.
pub(crate) fn sweep(folder: &Path, prefix: &str) -> io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) && remove(&entry.path()) {
            removed += 1;
        }
    }
    Ok(removed)
}

/// A sweep may have come between the making of a file and its lock.
fn still_there(temp: &NamedTempFile) -> io::Result<bool> {
    match std::fs::metadata(temp.path()) {
        Ok(found) => Ok(found.ino() == temp.as_file().metadata()?.ino()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the file if nobody holds it. That it cannot be opened or removed is not worth an error.
fn remove(path: &Path) -> bool {
    File::options().read(true).write(true).open(path).is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            && std::fs::remove_file(path).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = Builder::new();
        let held = make(builder.prefix(".new-"), folder.path()).unwrap();
        let left = folder.path().join(".new-left");
        for path in [left.as_path(), &folder.path().join("named")] {
            std::fs::write(path, "x").unwrap();
        }
        assert_eq!(sweep(folder.path(), ".new-").unwrap(), 1);
        assert!(held.path().exists() && !left.exists() && folder.path().join("named").exists());
        assert_eq!(sweep(&folder.path().join("nowhere"), ".new-").unwrap(), 0);
    }
}
