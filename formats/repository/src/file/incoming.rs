//! `.incoming/`: where files are before they have a name.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::{Builder, NamedTempFile};

use super::{reading, writing};
use crate::store::StoreError;
use crate::temporary;

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
            let mode = Permissions::from_mode(MODE);
            temporary::make(Builder::new().prefix(PREFIX).permissions(mode), &self.0)
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
        let swept = temporary::sweep(&self.0, PREFIX);
        swept.map_err(|error| reading(&self.0.display().to_string(), error))
    }

    fn make(&self) -> io::Result<()> {
        match std::fs::create_dir(&self.0) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}
