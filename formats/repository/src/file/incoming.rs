//! `.incoming/`: where files are before they have a name.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use super::{reading, writing};
use crate::store::StoreError;

const PREFIX: &str = "upload-";
/// As for any new file, the process' umask has the last word.
const MODE: u32 = 0o666;

/// The folder of files under way.
pub(super) struct Incoming(PathBuf);

impl Incoming {
    pub(super) fn of(base: &Path) -> Self {
        Self(base.join(".incoming"))
    }

    /// Whether `file` is directly inside, so that it may be linked.
    pub(super) fn holds(&self, file: &Path) -> bool {
        file.parent() == Some(&self.0)
    }

    /// A new file that no sweep takes away while it is open.
    pub(super) fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        let made = self.make().and_then(|()| {
            loop {
                let temp = tempfile::Builder::new()
                    .prefix(PREFIX)
                    .permissions(Permissions::from_mode(MODE))
                    .tempfile_in(&self.0)?;
                flock(temp.as_file(), FlockOperation::LockShared)?;
                if still_there(&temp)? {
                    return Ok(temp);
                }
            }
        });
        made.map_err(|error| writing(&self.0.display().to_string(), error))
    }

    /// Held around the compare and the rename of a swap; released on drop.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let path = self.0.join("lock");
        let open = || {
            self.make()?;
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        open().map_err(|error: io::Error| writing(&path.display().to_string(), error))
    }

    /// Removes the files whose makers are gone.
    pub(super) fn sweep(&self) -> Result<u64, StoreError> {
        let what = || self.0.display().to_string();
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(reading(&what(), error)),
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry.map_err(|error| reading(&what(), error))?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) && remove(&entry.path()) {
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn make(&self) -> io::Result<()> {
        match std::fs::create_dir(&self.0) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
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
