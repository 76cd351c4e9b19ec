//! The bundle writer: from files on disk to `<product>-<version>.tar.zst` and its file list.
//!
//! Threads take one frame of the tar after the other; whoever has a frame reads what lies in it,
//! hashes it and compresses it. Every file is read once. A file that goes on in the next frame is
//! handed on with its hash so far, and frames are written in order by whoever finishes the next
//! one. The bytes depend on the contents and the level only, not on the number of threads.

mod output;
mod plan;
mod worker;

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use cutover_formats::bundle::{FRAME, FrameTable, Layout, Relay};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{self, FileList, InvalidFileList};
use cutover_formats::name::Product;
use cutover_formats::path::RelPath;
use cutover_formats::version::Version;

use self::output::{Ended, Output};
use self::plan::Plan;
use self::worker::Work;

const FRAME_LEN: usize = FRAME as usize;

/// What goes into a bundle.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The product.
    pub product: Product,
    /// The version.
    pub version: Version,
    /// Modification time of every file, seconds since 1970.
    pub time: u64,
    /// Files and links, in any order; folders that hold them may be left out.
    pub entries: Vec<SourceEntry>,
}

/// One path of a release to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Where it will stand in the prefix.
    pub path: RelPath,
    /// What will stand there.
    pub kind: Source,
}

/// Where the contents of a path come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Mode 755 instead of 644.
        executable: bool,
        /// Bytes, as found when the tree was walked.
        size: u64,
        /// Where to read it.
        source: PathBuf,
    },
    /// A symbolic link.
    Link {
        /// What it says.
        target: String,
    },
}

/// Pairs of paths, the folders that hold `entries` among them, that are one path on a file system that
/// ignores case or how characters are composed.
#[must_use]
pub fn folding_names(entries: &[SourceEntry]) -> Vec<(String, String)> {
    let folders = plan::missing_folders(entries);
    let mut paths: Vec<&RelPath> = entries.iter().map(|it| &it.path).chain(&folders).collect();
    paths.sort();
    let pairs = filelist::folding_names(paths).into_iter();
    pairs.map(|(first, second)| (first.to_owned(), second.to_owned())).collect()
}

/// How to write a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Compression level of zstd, 1 to 19.
    pub level: i32,
    /// How many threads work; does not change the bytes.
    pub threads: NonZero<usize>,
}

/// The level that is used where nobody asks for another.
pub const DEFAULT_LEVEL: i32 = 3;

impl Options {
    /// This level, on all processors.
    #[must_use]
    pub fn level(level: i32) -> Self {
        Self {
            level,
            threads: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::level(DEFAULT_LEVEL)
    }
}

/// A bundle that was written.
#[derive(Clone, Debug)]
pub struct WrittenBundle {
    /// What is in it.
    pub list: FileList,
    /// Digest of the bundle.
    pub sha256: Digest,
    /// BLAKE2b-512 of the bundle, which `minisign` signatures are over.
    pub blake2b: [u8; 64],
    /// Bytes of the bundle.
    pub size: u64,
    /// Its frame table.
    pub frames: FrameTable,
}

/// A bundle that was not written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The tree has paths that a release must not have.
    #[error(transparent)]
    Refused(#[from] InvalidFileList),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file has another size than when the tree was walked.
    #[error("{} changed while it was packed: it had {expected} bytes", path.display())]
    Changed {
        /// Which one.
        path: PathBuf,
        /// Bytes when the tree was walked.
        expected: u64,
    },
    /// The bundle cannot be written.
    #[error("cannot write the bundle: {0}")]
    Write(#[source] io::Error),
}

impl Explain for BundleError {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused(_) => Exit::Usage,
            Self::Read { source, .. } => Exit::of_io(source),
            Self::Changed { .. } => Exit::Unexpected,
            Self::Write(error) => Exit::of_io(error),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused(_) => {
                vec!["rename or exclude it (`exclude` in release.toml), then release again".into()]
            }
            Self::Changed { .. } => {
                vec!["nothing was published; release again when nobody writes to the tree".into()]
            }
            Self::Read { .. } => vec!["nothing was published".into()],
            Self::Write(_) => vec![
                "nothing was published; the bundle is first written to the repository's \
                 .incoming folder, or to $TMPDIR for one that is reached by HTTP: make room there"
                    .into(),
            ],
        }
    }
}

/// Bytes of the tar of `contents`, before compression: what `progress` of [`write()`] adds up to.
pub fn tar_len(contents: &Contents) -> Result<u64, BundleError> {
    let Contents { product, version, time, entries } = contents;
    let folders = plan::missing_folders(entries);
    let plan = Plan::new(*time, entries, &folders)?;
    Ok(Layout::of(product, version, *time, plan.members).total_len())
}

/// Writes the bundle of `contents` to `out`, from its current position on.
/// `progress` is called from several threads with bytes of tar that were dealt with.
pub fn write(
    contents: &Contents,
    options: Options,
    out: &mut File,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<WrittenBundle, BundleError> {
    let Contents { product, version, time, entries } = contents;
    let folders = plan::missing_folders(entries);
    let plan = Plan::new(*time, entries, &folders)?;
    let layout = Layout::of(product, version, *time, plan.members.clone());
    let threads = options.threads.get().min(most_threads(options.level));
    let work = Work {
        plan: &plan,
        layout: &layout,
        output: Output::new(out, 2 * threads as u64),
        relay: Relay::default(),
        next: AtomicU64::new(0),
        level: options.level,
        progress,
    };
    let digests = run(&work, threads, plan.members.len())?;
    let Ended { sha256, blake2b, size, frames } = work.output.finish(layout.total_len())?;
    let list = FileList::new(product.clone(), version.clone(), *time, plan.entries(&digests))?;
    Ok(WrittenBundle { list, sha256, blake2b, size, frames })
}

/// Refuses names, links and sizes that no release may have, as [`write()`] does in the end.
pub fn check(contents: &Contents) -> Result<(), BundleError> {
    let Contents { product, version, time, entries } = contents;
    let folders = plan::missing_folders(entries);
    let plan = Plan::new(*time, entries, &folders)?;
    let digests = vec![Digest::of(b""); plan.members.len()];
    FileList::new(product.clone(), version.clone(), *time, plan.entries(&digests))?;
    Ok(())
}

/// How many threads stay below 256 MiB together, by what the compressor of one takes.
fn most_threads(level: i32) -> usize {
    match level {
        ..=4 => 8,
        5..=12 => 5,
        _ => 2,
    }
}

/// The digest of every member (of nothing, for what has no contents).
fn run(work: &Work<'_>, threads: usize, members: usize) -> Result<Vec<Digest>, BundleError> {
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.run())).collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut digests = vec![Digest::of(b""); members];
    for result in results {
        let found = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        for (member, digest) in found {
            digests[member] = digest;
        }
    }
    Ok(digests)
}
