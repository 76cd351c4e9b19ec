//! `.incoming/`: where files are before they have a name.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use tempfile::{Builder, NamedTempFile};

use super::folder::{FILE_MODE, Tree, give};
use super::{reading, writing};
use crate::store::StoreError;
use crate::temporary;

const NAME: &str = ".incoming";
const PREFIX: &str = "upload-";

/// The folder of files under way.
pub(super) struct Incoming<'a> {
    path: PathBuf,
    tree: &'a Tree,
}

impl<'a> Incoming<'a> {
    pub(super) fn of(base: &Path, tree: &'a Tree) -> Self {
        Self { path: base.join(NAME), tree }
    }

    /// Whether `file` is directly inside, so that it may be linked.
    pub(super) fn holds(&self, file: &Path) -> bool {
        file.parent() == Some(&self.path)
    }

    /// A new file that no sweep takes away while it is open.
    pub(super) fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        let made = self.make().and_then(|()| {
            let mode = Permissions::from_mode(FILE_MODE.bits());
            let made =
                temporary::make(Builder::new().prefix(PREFIX).permissions(mode), &self.path)?;
            give(made.as_file(), FILE_MODE)?;
            Ok(made)
        });
        made.map_err(|error| writing(&self.path.display().to_string(), error))
    }

    /// Held around the compare and the rename of a swap; released on drop.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let path = self.path.join("lock");
        let open = || {
            self.make()?;
            let mut options = OpenOptions::new();
            let mode = self.tree.shared_file();
            options.create(true).truncate(false).write(true).mode(mode.bits());
            let no_link = OFlags::NOFOLLOW.bits().cast_signed();
            let file = options.custom_flags(no_link).open(&path)?;
            // Only its maker can, and needs to.
            let _ = give(&file, mode);
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        open().map_err(|error: io::Error| writing(&path.display().to_string(), error))
    }

    /// Removes the files whose makers are gone.
    pub(super) fn sweep(&self) -> Result<u64, StoreError> {
        let swept = match self.tree.folder(NAME) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => Err(error),
            Ok(_) => temporary::sweep(&self.path, PREFIX),
        };
        swept.map_err(|error| reading(&self.path.display().to_string(), error))
    }

    fn make(&self) -> io::Result<()> {
        self.tree.make(&self.tree.folder(".")?, NAME, NAME).map(drop)
    }
}
