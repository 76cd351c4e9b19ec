//! A repository that is a folder.
//!
//! Files are made whole beside the repository, in `.incoming/`, synced, and then given their name by
//! `link(2)`, which fails where the name is taken: create-if-absent without a lock, also on NFS.
//! The one file that is replaced is replaced by `rename(2)` under a lock that only its writers take.
//! No symbolic link in it is followed. A name that [`Create::create`] or [`Swap::swap`] reported is on the disk: file and folder are synced
//! once each, and nothing else is.
//!
//! A temporary file holds a shared `flock` while its maker lives, so that what dead publishers left
//! in `.incoming/` can be told from what living ones are writing.

mod folder;
mod incoming;

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use cutover_formats::path::RelPath;
use tempfile::NamedTempFile;

use crate::store::{Body, Create, Created, Read, StoreError, Swap, Swapped};
use folder::{Folder, Tree};
use incoming::Incoming;

/// A repository in a folder, on a local disk or a network file system.
#[derive(Debug)]
pub struct FileStore {
    base: PathBuf,
    tree: Tree,
}

impl FileStore {
    /// The repository in the folder `base`. A missing folder is [`StoreError::Unreachable`], as a
    /// server that is down would be: it may be a mount that is not there.
    pub fn open(base: &Path) -> Result<Self, StoreError> {
        let unreachable = |why: String| StoreError::Unreachable {
            what: format!("the repository at {}", base.display()),
            why,
        };
        match std::fs::metadata(base) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(unreachable("it is not a folder".to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(unreachable("there is no such folder".to_owned()));
            }
            Err(error) => return Err(reading(&base.display().to_string(), error)),
        }
        let base = std::path::absolute(base).map_err(|error| unreachable(error.to_string()))?;
        let tree =
            Tree::open(&base).map_err(|error| reading(&base.display().to_string(), error))?;
        Ok(Self { base, tree })
    }

    /// Makes the folder for a new repository, if it is missing.
    pub fn make(base: &Path) -> Result<(), StoreError> {
        folder::make_base(base).map_err(|error| writing(&base.display().to_string(), error))
    }

    /// The folder itself.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Removes what dead publishers left behind, and says how many files that were.
    pub fn sweep(&self) -> Result<u64, StoreError> {
        self.incoming().sweep()
    }

    /// Removes a file that nothing names, durably; one that is not there is as good.
    pub fn remove(&self, path: &str) -> Result<(), StoreError> {
        let path: RelPath = path.parse()?;
        let removed = self.tree.folder(path.parent().unwrap_or(".")).and_then(|folder| {
            folder.remove(path.file_name())?;
            folder.sync()
        });
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| writing(&self.shown(&path), error)),
        }
    }

    fn incoming(&self) -> Incoming<'_> {
        Incoming::of(&self.base, &self.tree)
    }

    /// The file's name for messages.
    fn shown(&self, path: &RelPath) -> String {
        self.base.join(path.as_path()).display().to_string()
    }

    fn open_file(&self, path: &RelPath) -> Result<File, StoreError> {
        let what = || self.shown(path);
        let file = self.tree.file(path).map_err(|error| reading(&what(), error))?;
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(file),
            Ok(_) => Err(StoreError::NotFound { what: what() }),
            Err(error) => Err(reading(&what(), error)),
        }
    }

    /// A synced file in `.incoming/` with the contents of `body`.
    fn staged(&self, body: Body<'_>) -> Result<NamedTempFile, StoreError> {
        let mut temp = self.incoming().temp_file()?;
        let written = match body {
            Body::Bytes(bytes) => std::io::Write::write_all(&mut temp, bytes),
            Body::File(path) => File::open(path)
                .and_then(|mut source| std::io::copy(&mut source, temp.as_file_mut()))
                .map(|_| ()),
        };
        written
            .and_then(|()| temp.as_file().sync_data())
            .map_err(|error| writing(&temp.path().display().to_string(), error))?;
        Ok(temp)
    }

    /// Gives the file at `staged` the name `target` in `folder`, unless that is taken.
    fn name(
        &self,
        staged: &Path,
        folder: &Folder,
        target: &RelPath,
    ) -> Result<Created, StoreError> {
        match folder.link_new(staged, target.file_name()) {
            Ok(()) => Ok(Created::New),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Exists),
            Err(error) => Err(writing(&self.shown(target), error)),
        }
    }
}

impl Read for FileStore {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let path: RelPath = path.parse()?;
        let mut bytes = Vec::new();
        let read = self.open_file(&path)?.take(cap.saturating_add(1)).read_to_end(&mut bytes);
        let what = || self.shown(&path);
        read.map_err(|error| reading(&what(), error))?;
        if bytes.len() as u64 > cap {
            return Err(StoreError::TooLarge { what: what(), cap });
        }
        Ok(bytes)
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        let path: RelPath = path.parse()?;
        let mut file = self.open_file(&path)?;
        file.seek(SeekFrom::Start(from)).map_err(|error| reading(&self.shown(&path), error))?;
        Ok(Box::new(file.take(cap)))
    }

    fn describe(&self) -> String {
        self.base.display().to_string()
    }
}

impl Create for FileStore {
    fn create(&self, path: &str, body: Body<'_>) -> Result<Created, StoreError> {
        let target: RelPath = path.parse()?;
        let failed = |error| writing(&self.shown(&target), error);
        let folder = self.tree.make_parent(&target).map_err(failed)?;
        let created = match body {
            _ if folder.has(target.file_name()) => Created::Exists,
            Body::File(file) if self.incoming().holds(file) => {
                File::open(file)
                    .and_then(|file| file.sync_data())
                    .map_err(|error| writing(&file.display().to_string(), error))?;
                self.name(file, &folder, &target)?
            }
            body => self.name(self.staged(body)?.path(), &folder, &target)?,
        };
        // Also for a file that was there: its maker may be between link and sync.
        folder.sync().map_err(failed)?;
        Ok(created)
    }

    fn temp_file(&self) -> Result<NamedTempFile, StoreError> {
        self.incoming().temp_file()
    }
}

impl Swap for FileStore {
    fn swap(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<Swapped, StoreError> {
        let target: RelPath = path.parse()?;
        let failed = |error| writing(&self.shown(&target), error);
        let folder = self.tree.make_parent(&target).map_err(failed)?;
        let staged = self.staged(Body::Bytes(new))?;
        let _lock = self.incoming().lock()?;
        let cap = expected.map_or(0, |bytes| bytes.len() as u64);
        let unchanged = match (self.get(path, cap), expected) {
            (Ok(current), Some(expected)) => current == expected,
            (Err(error), None) if error.is_not_found() => true,
            (Ok(_), None) => false,
            (Err(StoreError::NotFound { .. } | StoreError::TooLarge { .. }), _) => false,
            (Err(error), _) => return Err(error),
        };
        if !unchanged {
            return Ok(Swapped::Changed);
        }
        let staged = staged.into_temp_path();
        folder.replace(&staged, target.file_name()).map_err(failed)?;
        // Its name is gone: there is nothing left to remove.
        let _ = staged.keep();
        folder.sync().map_err(failed)?;
        Ok(Swapped::Done)
    }
}

/// What it means that `what` cannot be read.
fn reading(what: &str, error: std::io::Error) -> StoreError {
    let what = what.to_owned();
    if folder::is_link(&error) {
        return link_on_the_way(what);
    }
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => StoreError::NotFound { what },
        ErrorKind::PermissionDenied => StoreError::Denied {
            what,
            why: error.to_string(),
            hint: "run as a user who may read the repository's folder".to_owned(),
        },
        _ => failed(what, error),
    }
}

/// What it means that `what` cannot be written.
pub(crate) fn writing(what: &str, error: std::io::Error) -> StoreError {
    let what = what.to_owned();
    if folder::is_link(&error) {
        return link_on_the_way(what);
    }
    match error.kind() {
        ErrorKind::NotFound => {
            StoreError::Unreachable { what, why: "its folder has gone away".to_owned() }
        }
        ErrorKind::CrossesDevices => StoreError::Denied {
            what,
            why: "it is on another file system than the repository's `.incoming`".to_owned(),
            hint: "nothing was published; `targets` may be a disk of its own, `metadata` may not"
                .to_owned(),
        },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::Denied {
            what,
            why: error.to_string(),
            hint: "nothing was published; run as a user who may write to the repository's folder"
                .to_owned(),
        },
        _ => failed(what, error),
    }
}

fn link_on_the_way(what: String) -> StoreError {
    StoreError::Denied {
        what,
        why:
            "a symbolic link stands in its place or on the way to it, and none in a repository is \
              followed"
                .to_owned(),
        hint: "nothing was read or written through it; mount the other folder there instead, or move the \
               whole repository"
            .to_owned(),
    }
}

fn failed(what: String, error: std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::NoSpace { what, why: error.to_string() }
        }
        ErrorKind::StaleNetworkFileHandle | ErrorKind::TimedOut | ErrorKind::HostUnreachable => {
            StoreError::Unreachable { what, why: error.to_string() }
        }
        _ => StoreError::Io { what, source: error },
    }
}
