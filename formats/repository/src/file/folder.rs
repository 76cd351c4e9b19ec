//! Folders and names, made durably.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::writing;
use crate::store::StoreError;

/// The folders of a repository.
pub(super) struct Tree<'a> {
    pub(super) base: &'a Path,
}

impl Tree<'_> {
    /// The folder of `target`, made if it is missing. The base itself is never made.
    pub(super) fn make_parent<'t>(&self, target: &'t Path) -> Result<&'t Path, StoreError> {
        let folder = target.parent().unwrap_or(target);
        if !folder.is_dir() {
            self.make(folder)?;
        }
        Ok(folder)
    }

    fn make(&self, folder: &Path) -> Result<(), StoreError> {
        let failed = |error| Err(writing(&folder.display().to_string(), error));
        let Some(parent) = folder.parent().filter(|_| folder != self.base) else {
            return failed(ErrorKind::NotFound.into());
        };
        match std::fs::create_dir(folder) {
            Ok(()) => sync(parent),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make(parent)?;
                self.make(folder)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => failed(error),
        }
    }
}

/// Brings a file or a folder to the disk.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_data())
        .map_err(|error| writing(&path.display().to_string(), error))
}

/// Gives the file `from` the name `to` unless that is taken (`AlreadyExists`). Where the file system
/// has no hard links, `from` is renamed.
pub(super) fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::link(from, to) {
        Ok(()) => Ok(()),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
        }
        Err(error) => Err(error.into()),
    }
}
