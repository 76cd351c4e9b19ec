//! One thread of the unpacker: takes the next frame, decodes, creates, hashes, until none is left.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_formats::bundle::{FRAME, Frame, Layout, Piece, Relay, SeekTable};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{Entry, Kind};
use cutover_formats::path::RelPath;
use rustix::fs::{Timespec, Timestamps};
use sha2::{Digest as _, Sha256};
use zstd::bulk::Decompressor;

use super::UnpackError;
use crate::disk::{DiskError, Folder, Permissions};

/// What all workers share.
pub(super) struct Work<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) layout: &'a Layout<'a>,
    pub(super) table: &'a SeekTable,
    pub(super) bundle: &'a File,
    pub(super) bundle_path: &'a Path,
    pub(super) prefix: &'a Folder,
    pub(super) time: u64,
    pub(super) next: AtomicU64,
    /// Files that go on in the frame: open, so that writing need not wait for hashing.
    pub(super) files: Relay<Arc<File>>,
    /// Their hashes so far.
    pub(super) hashes: Relay<Sha256>,
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

impl Work<'_> {
    /// Works until no frame is left, or somebody failed.
    pub(super) fn run(&self) -> Result<(), UnpackError> {
        let stop = StopUnlessDone(self);
        Worker::new(self)?.run()?;
        std::mem::forget(stop);
        Ok(())
    }

    fn stop(&self) {
        self.next.store(self.layout.frames(), Ordering::Relaxed);
        self.files.stop();
        self.hashes.stop();
    }
}

/// Ends everybody's waiting where one fails (or panics): what they wait for may never come.
struct StopUnlessDone<'a, 'w>(&'a Work<'w>);

impl Drop for StopUnlessDone<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Worker<'a, 'w> {
    work: &'a Work<'w>,
    packed: Vec<u8>,
    tar: Vec<u8>,
    decompressor: Decompressor<'static>,
}

/// A file of the list.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    path: &'a RelPath,
    executable: bool,
    size: u64,
    sha256: Digest,
}

/// Contents that began in an earlier frame.
struct Head<'a> {
    wanted: Wanted<'a>,
    from: u64,
    bytes: Range<usize>,
}

impl<'a, 'w> Worker<'a, 'w> {
    fn new(work: &'a Work<'w>) -> Result<Self, UnpackError> {
        let decompressor = Decompressor::new().map_err(|error| work.unreadable(error))?;
        let (packed, tar) = (Vec::new(), Vec::with_capacity(FRAME as usize));
        Ok(Self { work, packed, tar, decompressor })
    }

    fn run(mut self) -> Result<(), UnpackError> {
        for number in self.work.frames() {
            let frame = self.work.table.frames()[number as usize];
            self.decode(number, frame)?;
            self.create(number)?;
            (self.work.progress)(u64::from(frame.decompressed));
        }
        Ok(())
    }

    /// Decodes a frame, in one step and into a buffer of its size: there is no window, and there
    /// are no more bytes than the layout asks for.
    fn decode(&mut self, number: u64, frame: Frame) -> Result<(), UnpackError> {
        self.packed.resize(frame.compressed as usize, 0);
        self.work
            .bundle
            .read_exact_at(&mut self.packed, frame.at)
            .map_err(|error| self.work.unreadable(error))?;
        self.tar.clear();
        match self.decompressor.decompress_to_buffer(&self.packed, &mut self.tar) {
            Ok(len) if len == frame.decompressed as usize => Ok(()),
            _ => Err(UnpackError::Frame { frame: number }),
        }
    }

    /// Creates the files that begin in the frame, then adds to the one that began before it.
    fn create(&self, number: u64) -> Result<(), UnpackError> {
        let range = self.work.layout.frame(number);
        let mut head = None;
        for part in self.work.layout.parts(range.clone()) {
            let at = (part.at - range.start) as usize;
            let bytes = at..at + part.len as usize;
            match part.piece {
                Piece::Header { member, from: 0 } => {
                    if let Some(wanted) = self.work.wanted(member).filter(|file| file.size == 0) {
                        self.begin(number, wanted, 0..0)?;
                    }
                }
                Piece::Contents { member, from } => {
                    let Some(wanted) = self.work.wanted(member) else { continue };
                    if from == 0 {
                        self.begin(number, wanted, bytes)?;
                    } else {
                        head = Some(Head { wanted, from, bytes });
                    }
                }
                Piece::Top { .. } | Piece::Header { .. } | Piece::Zeros => {}
            }
        }
        head.map_or(Ok(()), |head| self.go_on(number, &head))
    }

    fn begin(
        &self,
        number: u64,
        wanted: Wanted<'_>,
        bytes: Range<usize>,
    ) -> Result<(), UnpackError> {
        let permissions =
            if wanted.executable { Permissions::Executable } else { Permissions::Plain };
        let mut file = self.work.prefix.create_file(wanted.path, permissions)?;
        let written = bytes.len() as u64;
        file.write_all(&self.tar[bytes.clone()]).map_err(|error| self.unwritten(wanted, error))?;
        if written < wanted.size {
            self.work.files.hand_on(number + 1, Arc::new(file));
        } else {
            self.finish(wanted, &file)?;
        }
        self.hash(number, Sha256::new(), wanted, bytes, written)
    }

    /// Without a baton somebody has failed, and the error is theirs to tell.
    fn go_on(&self, number: u64, head: &Head<'_>) -> Result<(), UnpackError> {
        let Head { wanted, from, bytes } = head;
        let written = from + bytes.len() as u64;
        let Some(file) = self.work.files.take(number) else { return Ok(()) };
        if written < wanted.size {
            self.work.files.hand_on(number + 1, Arc::clone(&file));
        }
        file.write_all_at(&self.tar[bytes.clone()], *from)
            .map_err(|error| self.unwritten(*wanted, error))?;
        let Some(hash) = self.work.hashes.take(number) else { return Ok(()) };
        if written == wanted.size {
            // All frames before have handed on their hash, so they have written.
            self.finish(*wanted, &file)?;
        }
        self.hash(number, hash, *wanted, bytes.clone(), written)
    }

    fn finish(&self, wanted: Wanted<'_>, file: &File) -> Result<(), UnpackError> {
        let time = Timespec { tv_sec: self.work.time as i64, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(file, &times).map_err(|error| self.unwritten(wanted, error.into()))
    }

    fn hash(
        &self,
        number: u64,
        mut hash: Sha256,
        wanted: Wanted<'_>,
        bytes: Range<usize>,
        written: u64,
    ) -> Result<(), UnpackError> {
        hash.update(&self.tar[bytes]);
        if written < wanted.size {
            self.work.hashes.hand_on(number + 1, hash);
            return Ok(());
        }
        let found: [u8; 32] = hash.finalize().into();
        let (found, expected) = (Digest::from(found), wanted.sha256);
        if found == expected {
            return Ok(());
        }
        Err(UnpackError::Contents { path: wanted.path.to_string(), expected, found })
    }

    fn unwritten(&self, wanted: Wanted<'_>, source: io::Error) -> UnpackError {
        let path = self.work.prefix.path().join(wanted.path.as_path());
        DiskError { doing: "write", path, source }.into()
    }
}

impl<'w> Work<'w> {
    fn wanted(&self, member: usize) -> Option<Wanted<'w>> {
        let Entry { path, kind } = &self.entries[member];
        match *kind {
            Kind::File { executable, size, sha256 } => {
                Some(Wanted { path, executable, size, sha256 })
            }
            Kind::Folder | Kind::Link { .. } => None,
        }
    }

    /// The frames that this thread gets to work on.
    fn frames(&self) -> impl Iterator<Item = u64> {
        let frames = self.layout.frames();
        std::iter::repeat_with(|| self.next.fetch_add(1, Ordering::Relaxed))
            .take_while(move |frame| *frame < frames)
    }

    fn unreadable(&self, source: io::Error) -> UnpackError {
        UnpackError::Bundle { path: self.bundle_path.to_owned(), source }
    }
}
