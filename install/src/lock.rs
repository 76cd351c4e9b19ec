//! One change of a node at a time.
//!
//! The lock is the kernel's (`flock`), so it goes with its holder however that ends; the text in
//! the file only tells others who it is and since when.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
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

#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    since: Timestamp,
    doing: String,
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
            Self::Io { .. } => vec!["nothing was changed".to_owned()],
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

fn describe_holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(4096).read_to_string(&mut text).map_err(|_| ());
    match read.and_then(|_| serde_json::from_str::<Holder>(&text).map_err(|_| ())) {
        Ok(Holder { pid, since, doing }) => format!("`{doing}` (process {pid}, since {since:.0})"),
        // The holder has the lock but has not written who it is yet.
        Err(()) => "another process".to_owned(),
    }
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
        drop(first);
        NodeLock::take(&root, "install 1.2.0", now).unwrap();
    }
}
