//! One change of a node at a time.
//!
//! The lock is the kernel's (`flock`), so it goes with its holder however that ends; the text in
//! the file only tells others who it is and since when. Whoever only wants to know looks the lock up in
//! `/proc/locks`: taking it, if but for a moment, would turn a change away that begins just then.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use cutover_formats::exit::{Exit, Explain};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::root::Root;

/// The right to change a node; given back when dropped.
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
}

/// Who changes the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// The command that it was called with, in short.
    pub doing: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, since, doing } = self;
        write!(f, "`{doing}` (process {pid}, since {since:.0})")
    }
}

/// The right to change the node could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("this node is being changed by {holder}")]
    Held {
        /// Who, what and since when.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("{path}: {error}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

impl Explain for LockError {
    fn exit(&self) -> Exit {
        match self {
            Self::Held { .. } => Exit::Busy,
            Self::Io { error, .. } => Exit::of_io(error),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Held { .. } => vec!["nothing was changed; wait for it to end".to_owned()],
            Self::Io { error, .. } => {
                let mut hints = Exit::hints_of_io(error);
                hints.push("nothing was changed".to_owned());
                hints
            }
        }
    }
}

impl NodeLock {
    /// Takes the lock or says who holds it; never waits. `doing` is shown to whoever comes second.
    pub fn take(root: &Root, doing: &str, now: Timestamp) -> Result<Self, LockError> {
        let path = root.lock();
        let io = |error| LockError::Io { path: path.clone(), error };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Held { holder: describe_holder(&mut file) });
            }
            Err(error) => return Err(io(error.into())),
        }
        let holder = Holder { pid: std::process::id(), since: now, doing: doing.to_owned() };
        let text = serde_json::to_string(&holder).map_err(|error| io(error.into()))?;
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// Who changes the node now, if anybody does; takes nothing and waits for nobody. `None` also where that
/// cannot be known: where there is no `/proc`, and while the holder has not written yet who it is.
#[must_use]
pub fn holder(root: &Root) -> Option<Holder> {
    let mut file = File::open(root.lock()).ok()?;
    let number = file.metadata().ok()?.ino();
    let holder = named_in(&mut file)?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    is_locked(&locks, number, holder.pid).then_some(holder)
}

/// Whether the process has a lock on the file of this inode, by the text of `/proc/locks`. The device is
/// not compared: some file systems say another one there than `stat` does.
fn is_locked(locks: &str, number: u64, pid: u32) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(4);
        let by = words.next().and_then(|word| word.parse().ok());
        let on = words.next().and_then(|word| word.rsplit(':').next()?.parse().ok());
        (by, on) == (Some(pid), Some(number))
    })
}

fn describe_holder(file: &mut File) -> String {
    // One that has not written who it is yet has no name.
    named_in(file).map_or_else(|| "another process".to_owned(), |holder| holder.to_string())
}

fn named_in(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        std::fs::create_dir(root.state()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let first = NodeLock::take(&root, "install 1.1.0", now).unwrap();
        let second = NodeLock::take(&root, "install 1.2.0", now).unwrap_err();
        assert_eq!(second.exit(), Exit::Busy);
        let message = second.to_string();
        assert!(message.contains("`install 1.1.0`") && message.contains("1970-01-01"), "{message}");
        let seen = holder(&root).unwrap();
        assert_eq!((seen.pid, seen.doing.as_str()), (std::process::id(), "install 1.1.0"));
        drop(first);
        // The name that it leaves in the file is nobody's.
        assert_eq!(holder(&root), None);
        NodeLock::take(&root, "install 1.2.0", now).unwrap();
    }
    #[test]
    fn a_lock_is_found_by_its_file_and_its_process() {
        let locks = "1: POSIX  ADVISORY  READ 12 fe:00:99 128 128\n\
                     2: FLOCK  ADVISORY  WRITE 345 00:2f:10061033 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 346 00:2f:10061033 0 EOF\n";
        assert!(is_locked(locks, 10_061_033, 345));
        assert!(!is_locked(locks, 10_061_033, 12));
        assert!(!is_locked(locks, 99, 345));
        assert!(!is_locked("", 99, 345));
    }
}
