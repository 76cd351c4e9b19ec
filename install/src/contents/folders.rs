//! The folders of a prefix, each made by whoever first needs it.

use std::fs::File;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

use cutover_formats::filelist::{Entry, FileList, Kind};

use super::leftover::Leftover;
use crate::disk::{DiskError, Folder, Permissions};

/// Which folders are there.
pub(super) struct Folders<'a> {
    list: &'a FileList,
    prefix: &'a Folder,
    /// By the index of the entry.
    made: Vec<AtomicBool>,
}

impl<'a> Folders<'a> {
    /// None but those that stand there.
    pub(super) fn new(list: &'a FileList, prefix: &'a Folder, leftover: &Leftover) -> Self {
        let made = |index| AtomicBool::new(leftover.keeps(index));
        let made = (0..list.entries().len()).map(made).collect();
        Self { list, prefix, made }
    }

    /// Creates a file, with the folders that it stands in where they are missing.
    pub(super) fn create_file(&self, entry: &Entry) -> Result<File, DiskError> {
        let permissions = match entry.kind {
            Kind::File { executable: true, .. } => Permissions::Executable,
            _ => Permissions::Plain,
        };
        match self.prefix.create_file(&entry.path, permissions) {
            Err(error) if error.source.kind() == ErrorKind::NotFound => {
                self.create_above(entry)?;
                self.prefix.create_file(&entry.path, permissions)
            }
            created => created,
        }
    }

    /// Creates all folders that nobody needed.
    pub(super) fn create_rest(&self) -> Result<(), DiskError> {
        (0..self.made.len()).try_for_each(|index| match self.list.entries()[index].kind {
            Kind::Folder => self.create(index),
            Kind::File { .. } | Kind::Link { .. } => Ok(()),
        })
    }

    /// A list has every folder that an entry stands in.
    fn create_above(&self, entry: &Entry) -> Result<(), DiskError> {
        let Some(above) = entry.path.parent() else { return Ok(()) };
        let entries = self.list.entries();
        match entries.binary_search_by(|entry| entry.path.as_str().cmp(above)) {
            Ok(index) => self.create(index),
            Err(_) => Ok(()),
        }
    }

    fn create(&self, index: usize) -> Result<(), DiskError> {
        if self.made[index].load(Ordering::Acquire) {
            return Ok(());
        }
        let entry = &self.list.entries()[index];
        self.create_above(entry)?;
        match self.prefix.create_folder(&entry.path) {
            // Another thread needed it in the same moment.
            Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {}
            created => created?,
        }
        self.made[index].store(true, Ordering::Release);
        Ok(())
    }
}
