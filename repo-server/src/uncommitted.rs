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

/// Versions of one role that may wait with one token. Publishers step over eight times as many snapshots
/// that others left, so that one token cannot stop them.
const MOST_VERSIONS: usize = 32;

/// What each file takes of the bound beside its bytes: it and its note are a block of the disk each, at least.
const EACH: u64 = 8 << 10;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes that may wait with one token, with [`EACH`] for a file.
    pub(crate) bytes: u64,
    /// How long they may.
    pub(crate) keep: Duration,
}

/// A file that waits.
#[derive(Debug, Serialize, Deserialize)]
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
    waiting: Mutex<Waiting>,
    /// Held while a commit is verified and while it is swept, so that neither happens in the other.
    quiet: Mutex<()>,
    swept: AtomicU64,
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is there.
    Waits,
    /// There is none: the file is there, and does not wait.
    Exists,
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

/// What came of a sweep.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// How many files were removed.
    pub(crate) files: u64,
    /// What could not be removed, and goes on waiting.
    pub(crate) problems: Vec<StoreError>,
}

/// The notes, with what they come to.
#[derive(Debug, Default)]
struct Waiting {
    notes: BTreeMap<String, Note>,
    owners: BTreeMap<String, Share>,
}

/// What waits with one token.
#[derive(Debug, Default)]
struct Share {
    /// As they count.
    bytes: u64,
    versions: BTreeMap<String, usize>,
}

impl Waiting {
    fn add(&mut self, note: Note) {
        let share = self.owners.entry(note.owner.clone()).or_default();
        share.bytes = share.bytes.saturating_add(note.counts());
        if let Some(role) = role(&note.path) {
            *share.versions.entry(role.to_owned()).or_default() += 1;
        }
        self.notes.insert(note.path.clone(), note);
    }

    fn remove(&mut self, path: &str) -> Option<Note> {
        let note = self.notes.remove(path)?;
        if let Some(share) = self.owners.get_mut(&note.owner) {
            share.bytes = share.bytes.saturating_sub(note.counts());
            if let Some(versions) = role(path).and_then(|role| share.versions.get_mut(role)) {
                *versions = versions.saturating_sub(1);
            }
            share.versions.retain(|_, versions| *versions > 0);
        }
        Some(note)
    }

    /// Why `note` may not wait, too.
    fn refuses(&self, note: &Note, bounds: Bounds) -> Option<Full> {
        let share = self.owners.get(&note.owner);
        let bytes = share.map_or(0, |share| share.bytes);
        if bytes.saturating_add(note.counts()) > bounds.bytes {
            return Some(Full::Bytes(bounds.bytes));
        }
        let versions = role(&note.path).and_then(|role| share?.versions.get(role).copied());
        (versions.unwrap_or(0) >= MOST_VERSIONS).then_some(Full::Versions(MOST_VERSIONS))
    }
}

impl Note {
    fn counts(&self) -> u64 {
        self.size.saturating_add(EACH)
    }
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
        let mut waiting = Waiting::default();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let note = fs::read(entry.path()).ok();
            if let Some(note) = note.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                waiting.add(note);
            }
        }
        let (waiting, quiet) = (Mutex::new(waiting), Mutex::default());
        Self { folder, bounds, waiting, quiet, swept: AtomicU64::default() }
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let waiting = self.waiting();
        let bytes = waiting.owners.values().map(|share| share.bytes).sum();
        let files = waiting.notes.len() as u64;
        Numbers { files, bytes, swept: self.swept.load(Ordering::Relaxed) }
    }

    /// Notes a file that is about to get its name, unless too much waits with its token. One that was noted
    /// before stays as it was noted, and counts once; so does one that does not get its name after all, which
    /// another may have given it by then. `exists` says whether the file is there.
    pub(crate) fn note(
        &self,
        (path, size): (&str, u64),
        owner: &str,
        exists: impl FnOnce() -> bool,
    ) -> io::Result<Noted> {
        let mut waiting = self.waiting();
        if let Some(note) = waiting.notes.get(path) {
            self.write(note)?;
            return Ok(Noted::Waits);
        }
        // Asked in here, as every file that comes is noted before it is there.
        if exists() {
            return Ok(Noted::Exists);
        }
        let note = Note { path: path.to_owned(), owner: owner.to_owned(), size };
        if let Some(full) = waiting.refuses(&note, self.bounds) {
            return Ok(Noted::Full(full));
        }
        self.write(&note)?;
        waiting.add(note);
        Ok(Noted::Waits)
    }

    /// Lets a file wait from now on, if it waits: another publisher has found it, and will not send it again.
    pub(crate) fn renew(&self, path: &str) {
        if let Some(note) = self.waiting().notes.get(path)
            && let Err(error) = self.write(note)
        {
            tracing::warn!("cannot renew the note of {path:?}: {error}");
        }
    }

    /// Makes a commit, which says what it has named; nothing is swept meanwhile.
    pub(crate) fn commit<T, E>(
        &self,
        commit: impl FnOnce() -> Result<(T, Visible), E>,
    ) -> Result<T, E> {
        let _quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, named) = commit()?;
        let mut waiting = self.waiting();
        let paths: Vec<_> = waiting.notes.keys().filter(|path| named.has(path)).cloned().collect();
        for path in paths {
            drop_note(&mut waiting, &path, &self.file(&path));
        }
        Ok(done)
    }

    /// Removes what has waited for too long and is not named after all, by whoever publishes another way. What
    /// cannot be removed keeps nothing else from it.
    pub(crate) fn sweep(&self, store: &FileStore, now: SystemTime) -> Result<Swept, Unreadable> {
        let is_old = |path: &str| {
            let noted = fs::metadata(self.file(path)).and_then(|found| found.modified());
            let age = noted.ok().and_then(|noted| now.duration_since(noted).ok());
            age.is_some_and(|age| age >= self.bounds.keep)
        };
        let _quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let paths: Vec<_> = self.waiting().notes.keys().cloned().collect();
        let old: Vec<_> = paths.into_iter().filter(|path| is_old(path)).collect();
        let mut swept = Swept::default();
        if old.is_empty() {
            return Ok(swept);
        }
        let visible = Visible::of(store)?;
        for path in old {
            let mut waiting = self.waiting();
            // A publisher may have found it meanwhile.
            if !is_old(&path) {
                continue;
            }
            if !visible.has(&path) {
                if let Err(error) = store.remove(&path) {
                    swept.problems.push(error);
                    continue;
                }
                swept.files += 1;
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

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A note too many does no harm: before anything is swept it is looked whether it is named.
fn drop_note(waiting: &mut Waiting, path: &str, file: &Path) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Uncommitted {
        Uncommitted::open(folder, Bounds { bytes: 1 << 20, keep: Duration::ZERO })
    }

    /// Both were told that it is not there, and one of them is told later that it is.
    #[test]
    fn a_file_that_two_send_at_once_waits() {
        let folder = tempfile::tempdir().unwrap();
        let waiting = open(folder.path());
        let note = |exists| waiting.note(("targets/a.x", 1), "ci", || exists).unwrap();
        assert_eq!([note(false), note(false), note(true)], [Noted::Waits; 3]);
        let numbers = Numbers { files: 1, bytes: 1 + EACH, swept: 0 };
        assert_eq!(waiting.numbers(), numbers);
        assert_eq!(open(folder.path()).numbers(), numbers, "also for the next server");
    }

    #[test]
    fn what_is_there_and_does_not_wait_is_not_noted() {
        let folder = tempfile::tempdir().unwrap();
        let waiting = open(folder.path());
        let noted = waiting.note(("targets/a.x", 1), "ci", || true).unwrap();
        assert_eq!((noted, waiting.numbers()), (Noted::Exists, Numbers::default()));
    }

    #[test]
    fn what_a_commit_names_counts_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let waiting = open(folder.path());
        let note = |version: usize| {
            let path = format!("metadata/{version}.targets.json");
            waiting.note((&path, 1), "ci", || false).unwrap()
        };
        for version in 1..=MOST_VERSIONS {
            assert_eq!(note(version), Noted::Waits);
        }
        let full = Noted::Full(Full::Versions(MOST_VERSIONS));
        assert_eq!(note(MOST_VERSIONS + 1), full);
        let mut named = Visible::default();
        named.role("targets", 2);
        waiting.commit(|| Ok::<_, ()>(((), named))).unwrap();
        assert_eq!((note(40), note(41), note(42)), (Noted::Waits, Noted::Waits, full));
    }
}
