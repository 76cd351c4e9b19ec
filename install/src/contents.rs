//! The contents of a release: from a signed file list to a prefix.
//!
//! [`plan()`] decides where each file comes from, and [`Job::create`] does what the plan says. The *file list*
//! is walked, not the tar: where each file's contents lie in the bundle follows from the list, and no
//! tar header is ever interpreted. Threads take one frame after the other from a [`FrameSource`], while
//! the rest is still on its way; whoever has a frame decodes it, and creates and hashes the files that
//! begin in it. A file that goes on in the next frame is handed on with its hash so far. Folders are
//! made where they are needed, links last. Memory is a few frames, whatever the size.

mod folders;
mod here;
mod leftover;
mod plan;
mod worker;
mod write_back;

use std::borrow::Cow;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::thread::ScopedJoinHandle;

use cutover_formats::bundle::{FrameTable, Layout, Relay};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{FileList, Kind};

use self::folders::Folders;
pub use self::here::Here;
pub use self::leftover::Leftover;
pub use self::plan::{Have, Place, Plan, Source, plan};
use self::worker::Work;
use self::write_back::WriteBack;
use crate::audit::in_parallel;
use crate::disk::{self, DiskError, Folder};
use crate::fetch::{FetchError, FrameSource};
pub use cutover_node::plan::{Amount, Figures};

/// Two buffers each, at most 8.1 MiB: together they stay below 64 MiB. More threads would not
/// help, because creating files is what takes long, and the file system does that one by one.
const MOST_THREADS: usize = 4;

/// The contents could not be brought. What was created is left in the prefix.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// The disk would not.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Nobody gives what was signed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A frame is what was signed, and does not decode to what the file list asks for.
    #[error("bundle: frame {frame} is corrupt")]
    Frame {
        /// Which one, from 0.
        frame: u64,
    },
    /// A file's contents are not those that the file list signs for.
    #[error("{path}: the bundle has contents with sha256 {found}, the file list says {expected}")]
    File {
        /// Its path in the release.
        path: String,
        /// What the file list says.
        expected: Digest,
        /// What was in the bundle.
        found: Digest,
    },
    /// Somebody wants it to end. What came so far is of use to the next try.
    #[error("interrupted")]
    Interrupted,
}

impl Explain for ContentsError {
    fn exit(&self) -> Exit {
        match self {
            Self::Disk(error) => error.exit(),
            Self::Fetch(error) => error.exit(),
            Self::Frame { .. } | Self::File { .. } => Exit::NotTrusted,
            Self::Interrupted => Exit::Unexpected,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Disk(error) => error.hints(),
            Self::Fetch(error) => error.hints(),
            Self::Interrupted => Vec::new(),
            Self::Frame { .. } | Self::File { .. } => {
                vec!["the release itself is broken: it must be released again".to_owned()]
            }
        }
    }
}

/// What is on the node of the contents of a list.
#[derive(Debug, Default)]
pub struct Stock {
    /// What stands in the target.
    pub leftover: Leftover,
    /// What other releases have.
    pub here: Here,
}

impl Stock {
    /// What that is to the planner.
    #[must_use]
    pub fn have(&self) -> Have {
        Have { kept: self.leftover.kept.clone(), here: self.here.files.clone() }
    }
}

/// The contents of a release, and what brings them.
pub struct Job<'a> {
    /// What shall stand in the prefix.
    pub list: &'a FileList,
    /// The frames of the bundle.
    pub table: &'a FrameTable,
    /// What the plan was made for.
    pub stock: &'a Stock,
    /// Where each file comes from.
    pub plan: &'a Plan,
    /// Called from several threads with bytes of tar that were dealt with.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl Job<'_> {
    /// Creates the prefix, or makes of what stands there what the list says. It is on disk once the
    /// folder's file system is written back: the folder that is given saw all errors of doing so earlier.
    ///
    /// `source` makes a source of frames for a plan.
    ///
    /// # Errors
    /// Where the contents cannot be had, are not what was signed, or cannot be written.
    pub fn create<S: FrameSource>(
        &self,
        prefix: &Path,
        source: impl FnOnce(&Plan) -> S,
    ) -> Result<Folder, ContentsError> {
        let Self { list, table, stock, progress, .. } = *self;
        let prefix = stock.leftover.clear(prefix)?;
        let folders = Folders::new(list, &prefix, &stock.leftover);
        let plan = self.take(&folders, &prefix)?;
        let layout = Layout::new(list);
        create_files(&Work {
            list,
            layout: &layout,
            table,
            prefix: &prefix,
            folders: &folders,
            wanted: plan.sources.iter().map(|source| *source == Source::Frames).collect(),
            queue: Mutex::new((plan.frames.clone().into_iter(), source(&plan))),
            write_back: WriteBack::of(list.bytes()),
            files: Relay::default(),
            hashes: Relay::default(),
            progress,
        })?;
        folders.create_rest()?;
        create_links(list, &prefix, &stock.leftover)?;
        Ok(prefix)
    }

    /// Takes what is on the node, and makes empty files. What turns out to be damaged there comes from
    /// the bundle: what is left of the plan then.
    fn take(&self, folders: &Folders<'_>, prefix: &Folder) -> Result<Cow<'_, Plan>, ContentsError> {
        let Self { list, table, stock, plan, .. } = *self;
        let of_here = |index: &usize| match plan.sources[*index] {
            Source::Here(_) => true,
            Source::List => matches!(list.entries()[*index].kind, Kind::File { .. }),
            Source::Kept | Source::Frames => false,
        };
        let indices: Vec<usize> = (0..list.entries().len()).filter(of_here).collect();
        let taken = in_parallel(&indices, |index| self.take_one(*index, folders, prefix))?;
        if taken.iter().all(|taken| *taken) {
            return Ok(Cow::Borrowed(plan));
        }
        let mut have = stock.have();
        have.kept.resize(list.entries().len(), false);
        for (index, taken) in indices.into_iter().zip(taken) {
            match &plan.sources[index] {
                Source::Here(place) if !taken => have.here.retain(|_, other| other != place),
                _ => have.kept[index] = true,
            }
        }
        Ok(Cow::Owned(self::plan(list, &have, table)))
    }

    /// Whether it was what the list says.
    fn take_one(
        &self,
        index: usize,
        folders: &Folders<'_>,
        prefix: &Folder,
    ) -> Result<bool, DiskError> {
        let entry = &self.list.entries()[index];
        let path = prefix.full(&entry.path);
        let failed = |error| DiskError::new("write", &path, error);
        let mut file = folders.create_file(entry)?;
        if let Source::Here(place) = &self.plan.sources[index]
            && !self.stock.here.take(place, &entry.kind, &mut file).map_err(failed)?
        {
            disk::remove_file(&path)?;
            return Ok(false);
        }
        worker::set_time(&file, self.list.time()).map_err(failed)?;
        Ok(true)
    }
}

fn create_files<S: FrameSource>(work: &Work<'_, S>) -> Result<(), ContentsError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    std::thread::scope(|scope| {
        let writing_back = scope.spawn(|| work.write_back.run(work.prefix));
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work.run())).collect();
        let results: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
        work.write_back.end();
        let written = writing_back.join();
        let all = results.into_iter().chain([written.map(|it| it.map_err(Into::into))]);
        all.into_iter()
            .try_for_each(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Last, so that while files are created nothing in the prefix leads anywhere.
fn create_links(list: &FileList, prefix: &Folder, leftover: &Leftover) -> Result<(), DiskError> {
    for (index, entry) in list.entries().iter().enumerate() {
        if let Kind::Link { target } = &entry.kind
            && !leftover.keeps(index)
        {
            prefix.create_link(&entry.path, target)?;
        }
    }
    Ok(())
}
