//! What was uploaded and no commit has named: bounded while it waits, and swept when it has waited for long.
//!
//! A publisher uploads everything and commits last, so that one who dies, or who has a token and no keys, leaves
//! files that nobody looks at. For each file that comes a note is made in `.incoming/uncommitted/` before
//! the file gets its name, and removed by the commit that names it. Only what has such a note is ever
//! swept: not what came another way, and nothing that a commit has named.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cutover_formats::digest::Digest;
use cutover_repository::file::FileStore;
use cutover_repository::store::StoreError;
use serde::{Deserialize, Serialize};

use crate::name::versioned;
use crate::visible::{Unreadable, Visible};

/// Versions of one role that may wait with one token. A publisher steps over more than that.
const MOST_VERSIONS: usize = 32;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes that may wait with one token.
    pub(crate) bytes: u64,
    /// How long they may.
    pub(crate) keep: Duration,
}

/// A file that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    path: String,
    /// Whose token it came with.
    owner: String,
    size: u64,
}

/// All that wait.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    folder: PathBuf,
    bounds: Bounds,
    waiting: Mutex<BTreeMap<String, Note>>,
    swept: AtomicU64,
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It was made.
    Now,
    /// There was one.
    Before,
    /// There is none: too much waits already.
    Full(Full),
}

/// No more may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// So many bytes.
    Bytes(u64),
    /// So many versions of a role.
    Versions(usize),
}

/// Why nothing more was swept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    /// It is not known what is named.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A file could not be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) swept: u64,
}

impl Uncommitted {
    /// Reads the notes of a repository.
    pub(crate) fn open(base: &Path, bounds: Bounds) -> Self {
        let folder = base.join(".incoming/uncommitted");
        let notes = fs::read_dir(&folder).into_iter().flatten().flatten().filter_map(|entry| {
            let note: Note = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
            Some((note.path.clone(), note))
        });
        let waiting = Mutex::new(notes.collect());
        Self { folder, bounds, waiting, swept: AtomicU64::default() }
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let waiting = self.waiting();
        let (files, bytes) = (waiting.len() as u64, waiting.values().map(|note| note.size).sum());
        Numbers { files, bytes, swept: self.swept.load(Ordering::Relaxed) }
    }

    /// Notes a file that is about to get its name, unless too much waits with its token. One that was noted
    /// before stays as it was noted.
    pub(crate) fn note(&self, path: &str, owner: &str, size: u64) -> io::Result<Noted> {
        let mut waiting = self.waiting();
        if let Some(note) = waiting.get(path) {
            self.write(note)?;
            return Ok(Noted::Before);
        }
        let own = || waiting.values().filter(|note| note.owner == owner);
        if own().map(|note| note.size).sum::<u64>().saturating_add(size) > self.bounds.bytes {
            return Ok(Noted::Full(Full::Bytes(self.bounds.bytes)));
        }
        if let Some(role) = role(path)
            && own().filter(|note| self::role(&note.path) == Some(role)).count() >= MOST_VERSIONS
        {
            return Ok(Noted::Full(Full::Versions(MOST_VERSIONS)));
        }
        let note = Note { path: path.to_owned(), owner: owner.to_owned(), size };
        self.write(&note)?;
        waiting.insert(path.to_owned(), note);
        Ok(Noted::Now)
    }

    /// Lets a file wait from now on, if it waits: another publisher has found it, and will not send it again.
    pub(crate) fn renew(&self, path: &str) {
        if let Some(note) = self.waiting().get(path)
            && let Err(error) = self.write(note)
        {
            tracing::warn!("cannot renew the note of {path:?}: {error}");
        }
    }

    /// Forgets a file that was noted, and is not there for it.
    pub(crate) fn forget(&self, path: &str) {
        drop_note(&mut self.waiting(), path, &self.file(path));
    }

    /// Makes a commit, which says what it has named; nothing is swept meanwhile.
    pub(crate) fn commit<T, E>(
        &self,
        commit: impl FnOnce() -> Result<(T, Visible), E>,
    ) -> Result<T, E> {
        let mut waiting = self.waiting();
        let (done, named) = commit()?;
        let paths: Vec<_> = waiting.keys().filter(|path| named.has(path)).cloned().collect();
        for path in paths {
            drop_note(&mut waiting, &path, &self.file(&path));
        }
        Ok(done)
    }

    /// Removes what has waited for too long and is not named after all, by whoever publishes another way; how
    /// many files that were.
    pub(crate) fn sweep(&self, store: &FileStore, now: SystemTime) -> Result<u64, SweepError> {
        let mut waiting = self.waiting();
        let is_old = |path: &str| {
            let noted = fs::metadata(self.file(path)).and_then(|found| found.modified());
            let age = noted.ok().and_then(|noted| now.duration_since(noted).ok());
            age.is_some_and(|age| age >= self.bounds.keep)
        };
        let old: Vec<_> = waiting.keys().filter(|path| is_old(path)).cloned().collect();
        if old.is_empty() {
            return Ok(0);
        }
        let visible = Visible::of(store)?;
        let mut swept = 0;
        for path in old {
            if !visible.has(&path) {
                store.remove(&path)?;
                swept += 1;
                self.swept.fetch_add(1, Ordering::Relaxed);
            }
            drop_note(&mut waiting, &path, &self.file(&path));
        }
        Ok(swept)
    }

    fn write(&self, note: &Note) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::write(self.file(&note.path), serde_json::to_vec(note)?)
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.join(Digest::of(path.as_bytes()).to_string())
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Note>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A note too many does no harm: before anything is swept it is looked whether it is named.
fn drop_note(waiting: &mut BTreeMap<String, Note>, path: &str, file: &Path) {
    if waiting.remove(path).is_some()
        && let Err(error) = fs::remove_file(file)
    {
        tracing::warn!("cannot remove the note of {path:?}: {error}");
    }
}

/// The role of a metadata file.
fn role(path: &str) -> Option<&str> {
    path.strip_prefix("metadata/").and_then(versioned).map(|(_, role)| role)
}
