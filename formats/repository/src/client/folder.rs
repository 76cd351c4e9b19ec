//! The folder of trusted metadata: `root.json`, `timestamp.json`, … exactly as received.
//!
//! It holds nothing but files that were verified, and they are verified again when they are read:
//! what is stored is a memory of versions and a saving of downloads, not a source of trust. Only
//! `root.json` is one.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::tuf::names;
use rustix::fs::FlockOperation;
use tempfile::{Builder, NamedTempFile};

use super::{TrustError, caps};
use crate::temporary;

/// How files are called before they have a name.
const PREFIX: &str = ".new-";

/// The folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// Held while what is stored is read and replaced as a whole.
pub(super) struct Lock(#[expect(dead_code, reason = "closing it ends the lock")] File);

impl Folder {
    pub(super) fn create(path: PathBuf) -> Result<Self, TrustError> {
        fs::create_dir_all(&path).map_err(|source| local(&path, source))?;
        Ok(Self(path))
    }

    pub(super) fn open(path: PathBuf) -> Result<Self, TrustError> {
        if path.is_dir() { Ok(Self(path)) } else { Err(TrustError::NoRoot { folder: path }) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, role: &str) -> PathBuf {
        self.0.join(names::file(role))
    }

    /// Waits until nobody else replaces what is stored. Where the file system knows no locks, there
    /// is nobody to wait for as far as anybody can tell.
    pub(super) fn lock(&self) -> Result<Lock, TrustError> {
        let folder = File::open(&self.0).map_err(|source| local(&self.0, source))?;
        let _ = rustix::fs::flock(&folder, FlockOperation::LockExclusive);
        Ok(Lock(folder))
    }

    /// Stores the first root, or finds that it is the one that is stored.
    pub(super) fn pin(&self, root: &[u8]) -> Result<(), TrustError> {
        match self.read("root", caps::ROOT)? {
            Some(stored) if stored == root => Ok(()),
            Some(_) => Err(TrustError::OtherRoot { folder: self.0.clone() }),
            None => self.write("root", root),
        }
    }

    /// The stored file of a role, `None` if there is none. One that is longer than any that was
    /// ever stored is as good as none.
    pub(super) fn read(&self, role: &str, cap: u64) -> Result<Option<Vec<u8>>, TrustError> {
        let path = self.file(role);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(local(&path, error)),
        };
        let mut bytes = Vec::new();
        file.take(cap + 1).read_to_end(&mut bytes).map_err(|source| local(&path, source))?;
        Ok(if bytes.len() as u64 > cap { None } else { Some(bytes) })
    }

    /// Replaces the file of a top-level role, atomically and durably: what it says is a floor.
    pub(super) fn write(&self, role: &str, bytes: &[u8]) -> Result<(), TrustError> {
        let path = self.file(role);
        let written = || -> io::Result<()> {
            let file = self.fresh(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            self.sync()
        };
        written().map_err(|source| local(&path, source))
    }

    /// Replaces the file of a delegated role, atomically. It is only kept to save a download: should
    /// it be lost with the power, or be torn, it will be refused and fetched again.
    pub(super) fn keep(&self, role: &str, bytes: &[u8]) -> Result<(), TrustError> {
        let path = self.file(role);
        let written = || -> io::Result<()> {
            self.fresh(bytes)?.persist(&path)?;
            Ok(())
        };
        written().map_err(|source| local(&path, source))
    }

    fn fresh(&self, bytes: &[u8]) -> io::Result<NamedTempFile> {
        let mut builder = Builder::new();
        // Nothing of it is a secret, and whoever may only look at a node needs to read it.
        builder.prefix(PREFIX).permissions(Permissions::from_mode(0o644));
        let mut file = temporary::make(&builder, &self.0)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    /// Removes the file of a role, durably.
    pub(super) fn remove(&self, role: &str) -> Result<(), TrustError> {
        let path = self.file(role);
        match fs::remove_file(&path).and_then(|()| self.sync()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(local(&path, error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// Removes from a folder of trusted metadata what clients left there that were killed; how many
/// files that were.
pub fn sweep(trust_dir: &Path) -> io::Result<u64> {
    temporary::sweep(trust_dir, PREFIX)
}

fn local(path: &Path, source: io::Error) -> TrustError {
    TrustError::Local { path: path.to_owned(), source }
}
