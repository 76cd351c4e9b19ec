//! The folder of trusted metadata: `root.json`, `timestamp.json`, … exactly as received.
//!
//! It holds nothing but files that were verified, and they are verified again when they are read:
//! what is stored is a memory of versions and a saving of downloads, not a source of trust. Only
//! `root.json` is one.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cutover_formats::tuf::names;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tempfile::{Builder, NamedTempFile};

use super::{TrustError, caps};
use crate::temporary;

/// How files are called before they have a name.
const PREFIX: &str = ".new-";

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// What a draft of it holds otherwise, by role; nothing of that reaches the disk.
    draft: Option<Mutex<Draft>>,
}

/// Files of roles that were replaced, or removed.
type Draft = BTreeMap<String, Option<Vec<u8>>>;

/// Held while what is stored is read and replaced as a whole.
pub(super) struct Lock(#[expect(dead_code, reason = "closing it ends the lock")] File);

impl Folder {
    pub(super) fn create(path: PathBuf) -> Result<Self, TrustError> {
        fs::create_dir_all(&path).map_err(|source| local(&path, source))?;
        Ok(Self { path, draft: None })
    }

    pub(super) fn open(path: PathBuf) -> Result<Self, TrustError> {
        if path.is_dir() {
            Ok(Self { path, draft: None })
        } else {
            Err(TrustError::NoRoot { folder: path })
        }
    }

    /// The same, to try what comes of something: what is written there stays there.
    pub(super) fn draft(&self) -> Self {
        Self { path: self.path.clone(), draft: Some(Mutex::default()) }
    }

    /// What is stored of the top-level roles that are floors, to be compared.
    pub(super) fn floors(&self) -> Result<[Option<Vec<u8>>; 3], TrustError> {
        Ok([
            self.read("root", caps::ROOT)?,
            self.read("timestamp", caps::TIMESTAMP)?,
            self.read("snapshot", caps::SNAPSHOT)?,
        ])
    }

    fn drafted(&self) -> Option<MutexGuard<'_, Draft>> {
        self.draft.as_ref().map(|draft| draft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, role: &str) -> PathBuf {
        self.path.join(names::file(role))
    }

    /// Waits until nobody else replaces what is stored; `tell` hears for whom. Where the file system
    /// knows no locks, there is nobody to wait for as far as anybody can tell.
    pub(super) fn lock(&self, tell: &dyn Fn(&str)) -> Result<Lock, TrustError> {
        let folder = File::open(&self.path).map_err(|source| local(&self.path, source))?;
        let tried = rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive);
        if tried == Err(Errno::WOULDBLOCK) {
            let holder = holder(&folder).unwrap_or_else(|| "another process".to_owned());
            tell(&format!("waiting for {holder}, which uses {}", self.path.display()));
            let _ = rustix::fs::flock(&folder, FlockOperation::LockExclusive);
        }
        Ok(Lock(folder))
    }

    /// Stores the first root, or finds that it is the one that is stored.
    pub(super) fn pin(&self, root: &[u8]) -> Result<(), TrustError> {
        match self.read("root", caps::ROOT)? {
            Some(stored) if stored == root => Ok(()),
            Some(_) => Err(TrustError::OtherRoot { folder: self.path.clone() }),
            None => self.write("root", root),
        }
    }

    /// The stored file of a role, `None` if there is none. One that is longer than any that was
    /// ever stored is as good as none.
    pub(super) fn read(&self, role: &str, cap: u64) -> Result<Option<Vec<u8>>, TrustError> {
        if let Some(drafted) = self.drafted().and_then(|draft| draft.get(role).cloned()) {
            return Ok(drafted);
        }
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
        if let Some(mut draft) = self.drafted() {
            draft.insert(role.to_owned(), Some(bytes.to_vec()));
            return Ok(());
        }
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
        let mut file = temporary::make(&builder, &self.path)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    /// Removes the file of a role, durably.
    pub(super) fn remove(&self, role: &str) -> Result<(), TrustError> {
        if let Some(mut draft) = self.drafted() {
            draft.insert(role.to_owned(), None);
            return Ok(());
        }
        let path = self.file(role);
        match fs::remove_file(&path).and_then(|()| self.sync()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(local(&path, error)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Who has a lock on this folder, as the kernel tells; `None` where it does not.
fn holder(folder: &File) -> Option<String> {
    let number = folder.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| {
        // `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF`; one that waits has `->`.
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, file, ..] if file.rsplit(':').next() == Some(&number) => {
                Some(pid.to_owned())
            }
            _ => None,
        }
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("`{}` (process {pid})", name.trim()))
}

/// Removes from a folder of trusted metadata what clients left there that were killed; how many
/// files that were.
pub fn sweep(trust_dir: &Path) -> io::Result<u64> {
    temporary::sweep(trust_dir, PREFIX)
}

fn local(path: &Path, source: io::Error) -> TrustError {
    TrustError::Local { path: path.to_owned(), source }
}
