//! Unpacking: from a verified bundle to a prefix.
//!
//! The *file list* is walked, not the tar: where each file's contents lie in the bundle follows
//! from the list, and no tar header is ever interpreted. Folders are made first, links last.
//! In between, threads take one frame after the other; whoever has a frame decodes it, and
//! creates and hashes the files that begin in it. A file that goes on in the next frame is handed
//! on with its hash so far. Memory is a few frames, whatever the size.

mod worker;

use std::fs::File;
use std::num::NonZero;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::thread::ScopedJoinHandle;

use cutover_formats::bundle::{InvalidSeekTable, Layout, Relay, SeekTable, table_len};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{FileList, Kind};

use self::worker::Work;
use crate::disk::{DiskError, Folder};

/// Two frames each, at most 8.1 MiB: together they stay below 64 MiB. More threads would not
/// help, because creating files is what takes long, and the file system does that one by one.
const MOST_THREADS: usize = 4;

/// What unpacking did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Files, folders and links that were created.
    pub entries: u64,
    /// Bytes in files.
    pub bytes: u64,
}

/// Unpacking ended early. What was created is left in the prefix, for the caller to remove with
/// [`remove_tree`](crate::disk::remove_tree).
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The disk would not.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The bundle cannot be read.
    #[error("cannot read bundle {}: {source}", path.display())]
    Bundle {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bundle is not laid out as the file list says.
    #[error(transparent)]
    SeekTable(#[from] InvalidSeekTable),
    /// A frame does not decode to what the seek table says.
    #[error("bundle: frame {frame} is corrupt")]
    Frame {
        /// Which one, from 0.
        frame: u64,
    },
    /// A file's contents are not those that the file list signs for.
    #[error("{path}: the bundle has contents with sha256 {found}, the file list says {expected}")]
    Contents {
        /// Its path in the release.
        path: String,
        /// What the file list says.
        expected: Digest,
        /// What was unpacked.
        found: Digest,
    },
}

impl Explain for UnpackError {
    fn exit(&self) -> Exit {
        match self {
            Self::Disk(error) => error.exit(),
            Self::Bundle { source, .. } => Exit::of_io(source),
            Self::SeekTable(_) | Self::Frame { .. } | Self::Contents { .. } => Exit::NotTrusted,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Disk(error) => error.hints(),
            Self::Bundle { .. } => Vec::new(),
            Self::SeekTable(_) | Self::Frame { .. } | Self::Contents { .. } => {
                vec!["the release itself is broken: it must be released again".to_owned()]
            }
        }
    }
}

/// Unpacks `bundle` (a local file whose digest has been verified) into `prefix`, which is created
/// here: it must not exist, or be empty. Everything is on disk when this returns.
/// `progress` is called from several threads with bytes of tar that were dealt with.
pub fn unpack(
    list: &FileList,
    bundle: &Path,
    prefix: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Unpacked, UnpackError> {
    let layout = Layout::new(list);
    let (file, table) = open(bundle, &layout)?;
    let prefix = Folder::create(prefix)?;
    create_folders(list, &prefix)?;
    create_files(&Work {
        entries: list.entries(),
        layout: &layout,
        table: &table,
        bundle: &file,
        bundle_path: bundle,
        prefix: &prefix,
        time: list.time(),
        next: AtomicU64::new(0),
        files: Relay::default(),
        hashes: Relay::default(),
        progress,
    })?;
    create_links(list, &prefix)?;
    prefix.sync_file_system()?;
    Ok(Unpacked { entries: list.entries().len() as u64, bytes: list.bytes() })
}

/// Opens the bundle and reads its seek table, which the layout must agree with.
fn open(path: &Path, layout: &Layout<'_>) -> Result<(File, SeekTable), UnpackError> {
    let unreadable = |source| UnpackError::Bundle { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let len = table_len(layout.frames());
    let missing = InvalidSeekTable::Missing { frames: layout.frames() };
    let at = size.checked_sub(len).ok_or(missing)?;
    let mut tail = vec![0; len as usize];
    file.read_exact_at(&mut tail, at).map_err(unreadable)?;
    let table = SeekTable::parse(&tail, size, layout)?;
    Ok((file, table))
}

/// Each folder comes after the one that holds it, in the order of the list.
fn create_folders(list: &FileList, prefix: &Folder) -> Result<(), DiskError> {
    let folders = list.entries().iter().filter(|entry| entry.kind == Kind::Folder);
    folders.into_iter().try_for_each(|entry| prefix.create_folder(&entry.path))
}

fn create_files(work: &Work<'_>) -> Result<(), UnpackError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.run())).collect();
        let results: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
        results
            .into_iter()
            .try_for_each(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Last, so that while files are created nothing in the prefix leads anywhere.
fn create_links(list: &FileList, prefix: &Folder) -> Result<(), DiskError> {
    list.entries().iter().try_for_each(|entry| match &entry.kind {
        Kind::Link { target } => prefix.create_link(&entry.path, target),
        Kind::Folder | Kind::File { .. } => Ok(()),
    })
}
