//! Metadata and descriptors, compressed for those who ask for it: digests and names in them repeat, so
//! that a look at a large repository costs a third.
//!
//! A file is coded once, for all who ask for it, and what is coded takes no more memory than it may: as
//! long as clients hold all of that, others get files as they are.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cutover_formats::digest::Digest;
use cutover_http::file::read;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, RANGE};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// The one coding that there is.
pub(crate) const ZSTD: &str = "zstd";
/// Largest file that is coded.
const LARGEST: u64 = 8 << 20;
/// Less is not worth the header.
const LEAST: u64 = 300;
/// Files that are remembered, whether coding made them shorter or not.
const MOST_FILES: usize = 1024;
/// Files that are coded at the same time.
const TURNS: usize = 2;
/// Compressed at once; more waits for a thread that may take its time.
const AT_ONCE: u64 = 64 << 10;
const LEVEL: i32 = 3;

/// Whether a file of this path is ever coded.
pub(crate) fn is_possible(path: &str) -> bool {
    path.ends_with(".json")
}

/// Whether a file of this size is.
pub(crate) fn is_worthwhile(size: u64) -> bool {
    (LEAST..=LARGEST).contains(&size)
}

/// Whether it is for who asks so. Parts are parts of the file as it is.
pub(crate) fn is_wanted(path: &str, asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    is_possible(path)
        && !asked.contains_key(RANGE)
        && accepted.flat_map(|value| value.split(',')).any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").map(|q| q.trim().parse());
            name.trim().eq_ignore_ascii_case(ZSTD) && !matches!(weight, Some(Ok(0.0) | Err(_)))
        })
}

/// Which file it is: under one name there may be another later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Id {
    fn of(found: &Metadata) -> Self {
        let changed = (found.mtime(), found.mtime_nsec());
        Self { device: found.dev(), inode: found.ino(), size: found.size(), changed }
    }
}

/// A coded file.
#[derive(Clone, Debug)]
pub(crate) struct Coded {
    /// What is sent.
    pub(crate) bytes: Bytes,
    /// The digest of the file as it is.
    pub(crate) digest: Digest,
}

/// Contents, and the memory that is set aside for them until nobody holds them any more.
#[derive(Debug)]
struct Stored {
    bytes: Vec<u8>,
    digest: Digest,
    _room: OwnedSemaphorePermit,
}

struct Shared(Arc<Stored>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// `None` where coding would not make the file shorter.
type Cell = Arc<OnceCell<Option<Arc<Stored>>>>;

/// What is coded.
#[derive(Debug)]
pub(crate) struct Coder {
    most: u32,
    /// Bytes that may still be taken.
    room: Arc<Semaphore>,
    turns: Semaphore,
    /// The one that was asked for last comes last.
    files: Mutex<Vec<(Id, Cell)>>,
    made: AtomicU64,
    bypassed: AtomicU64,
}

/// How it went so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Bytes that are held.
    pub(crate) bytes: u64,
    /// Files that were coded.
    pub(crate) made: u64,
    /// Answers that were sent as they are for want of memory.
    pub(crate) bypassed: u64,
}

/// Why there is no coded file.
enum Failed {
    NoRoom,
    Io(io::Error),
}

impl Coder {
    /// One that takes up to `most` bytes of memory.
    pub(crate) fn new(most: u64) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let room = Arc::new(Semaphore::new(most as usize));
        let (turns, files) = (Semaphore::new(TURNS), Mutex::default());
        Self {
            most,
            room,
            turns,
            files,
            made: AtomicU64::default(),
            bypassed: AtomicU64::default(),
        }
    }

    pub(crate) fn numbers(&self) -> Numbers {
        Numbers {
            bytes: u64::from(self.most).saturating_sub(self.room.available_permits() as u64),
            made: self.made.load(Ordering::Relaxed),
            bypassed: self.bypassed.load(Ordering::Relaxed),
        }
    }

    /// The file, coded; `None` where it is to be sent as it is.
    pub(crate) async fn get(&self, file: &File, found: &Metadata) -> io::Result<Option<Coded>> {
        let id = Id::of(found);
        match self.cell(id).get_or_try_init(|| self.make(file, id.size)).await {
            Ok(stored) => Ok(stored.as_ref().map(|stored| Coded {
                bytes: Bytes::from_owner(Shared(stored.clone())),
                digest: stored.digest,
            })),
            Err(Failed::NoRoom) => {
                self.bypassed.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            Err(Failed::Io(error)) => Err(error),
        }
    }

    fn cell(&self, id: Id) -> Cell {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match files.iter().position(|(known, _)| *known == id) {
            Some(at) => files.remove(at),
            None => (id, Cell::default()),
        };
        if files.len() == MOST_FILES {
            files.remove(0);
        }
        let cell = entry.1.clone();
        files.push(entry);
        cell
    }

    async fn make(&self, file: &File, size: u64) -> Result<Option<Arc<Stored>>, Failed> {
        let mut room = self.reserve(size).ok_or(Failed::NoRoom)?;
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let contents =
            read(file.try_clone().map_err(Failed::Io)?, size).await.map_err(Failed::Io)?;
        let compress = move || {
            let digest = Digest::of(&contents);
            zstd::bulk::compress(&contents, LEVEL).map(|bytes| (bytes, digest))
        };
        let compressed = match size {
            ..=AT_ONCE => compress(),
            _ => tokio::task::spawn_blocking(compress)
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error))),
        };
        let (bytes, digest) = compressed.map_err(Failed::Io)?;
        self.made.fetch_add(1, Ordering::Relaxed);
        if bytes.len() as u64 >= size {
            return Ok(None);
        }
        // What was set aside for the whole file is more than what it takes now.
        drop(room.split(room.num_permits() - bytes.len()));
        Ok(Some(Arc::new(Stored { bytes, digest, _room: room })))
    }

    /// Sets memory aside; takes it from those files that nobody is being sent.
    fn reserve(&self, size: u64) -> Option<OwnedSemaphorePermit> {
        let size = u32::try_from(size).ok()?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Ok(room) = self.room.clone().try_acquire_many_owned(size) {
                return Some(room);
            }
            let is_spare = |(_, cell): &(Id, Cell)| matches!(cell.get(), Some(Some(stored)) if Arc::strong_count(stored) == 1);
            let spare = files.iter().position(is_spare)?;
            files.remove(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn each_file_is_coded_once_and_memory_is_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, name.repeat(1000)).unwrap();
            let file = File::open(path).unwrap();
            let found = file.metadata().unwrap();
            (file, found)
        };
        let coder = Coder::new(6000);
        let get = |(file, found): &(File, Metadata)| {
            runtime.block_on(coder.get(file, found)).unwrap().map(|coded| coded.bytes)
        };
        let (one, two) = (make("one"), make("two"));
        let held = get(&one).unwrap();
        assert_eq!(zstd::bulk::decompress(&held, 3000).unwrap(), "one".repeat(1000).as_bytes());
        assert_eq!(get(&one).unwrap().as_ptr(), held.as_ptr(), "the same memory");
        assert_eq!(coder.numbers().made, 1);
        assert_eq!(coder.numbers().bytes, held.len() as u64);
        assert!(get(&two).is_some());
        // Half of the memory is set aside for a file while it is coded: there is none for a larger one
        // but what nobody holds.
        let large = make("0123456");
        assert!(get(&large).is_none());
        assert_eq!(coder.numbers().bypassed, 1);
        let small = make("01234");
        assert!(get(&small).is_some());
        drop(held);
        assert!(get(&make("012345")).is_some(), "all of it, now that nobody holds any");
    }

    #[test]
    fn who_wants_it() {
        let accepts = |text: &'static str| {
            let mut asked = HeaderMap::new();
            asked.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            asked
        };
        for wanted in ["zstd", "gzip, zstd", "br;q=1.0, ZSTD ; q=0.5"] {
            assert!(is_wanted("metadata/1.root.json", &accepts(wanted)), "{wanted}");
            assert!(!is_wanted("targets/x.tar.zst", &accepts(wanted)), "{wanted}");
        }
        for unwanted in ["", "gzip", "zstd;q=0", "zstd;q=0.000", "zstd;q=x", "zstdx", "*"] {
            assert!(!is_wanted("metadata/1.root.json", &accepts(unwanted)), "{unwanted}");
        }
        let mut part = accepts("zstd");
        part.insert(RANGE, HeaderValue::from_static("bytes=1-2"));
        assert!(!is_wanted("metadata/1.root.json", &part));
    }
}
