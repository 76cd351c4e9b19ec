//! One thread that creates files: takes the next frame, decodes, creates, hashes, until none is left.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use cutover_formats::bundle::{FRAME, FrameTable, Layout, Piece, Relay};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{Entry, FileList, Kind};
use rustix::fs::{Timespec, Timestamps};
use sha2::{Digest as _, Sha256};
use zstd::bulk::Decompressor;

use super::ContentsError;
use super::folders::Folders;
use super::write_back::WriteBack;
use crate::disk::{DiskError, Folder};
use crate::fetch::FrameSource;
use crate::interrupt;

/// What all workers share.
pub(super) struct Work<'a, S> {
    pub(super) list: &'a FileList,
    pub(super) layout: &'a Layout<'a>,
    pub(super) table: &'a FrameTable,
    pub(super) prefix: &'a Folder,
    pub(super) folders: &'a Folders<'a>,
    /// Which entries come from frames, by index.
    pub(super) wanted: Vec<bool>,
    /// The frames that nobody has taken yet, in order, and who gives them. Whoever takes one reads it
    /// under the lock: the others have a frame to work on meanwhile, or nothing to do.
    pub(super) queue: Mutex<(std::vec::IntoIter<u64>, S)>,
    pub(super) write_back: WriteBack,
    /// Files that go on in the frame: open, so that writing need not wait for hashing.
    pub(super) files: Relay<Arc<File>>,
    /// Their hashes so far.
    pub(super) hashes: Relay<Sha256>,
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

impl<S: FrameSource> Work<'_, S> {
    /// Works until no frame is left, or somebody failed.
    pub(super) fn run(&self) -> Result<(), ContentsError> {
        let stop = StopUnlessDone(self);
        Worker::new(self)?.run()?;
        std::mem::forget(stop);
        Ok(())
    }

    /// The next frame, verified.
    fn next(&self, packed: &mut Vec<u8>) -> Result<Option<u64>, ContentsError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, source) = &mut *queue;
        let Some(number) = numbers.next() else { return Ok(None) };
        if interrupt::asked() {
            return Err(ContentsError::Interrupted);
        }
        source.frame(number, packed).inspect_err(|_| {
            // Nobody asks for the next one: this is the error that is told.
            *numbers = Vec::new().into_iter();
        })?;
        Ok(Some(number))
    }

    fn stop(&self) {
        self.files.stop();
        self.hashes.stop();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).0 = Vec::new().into_iter();
    }
}

/// Ends everybody's waiting where one fails (or panics): what they wait for may never come.
struct StopUnlessDone<'a, 'w, S: FrameSource>(&'a Work<'w, S>);

impl<S: FrameSource> Drop for StopUnlessDone<'_, '_, S> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Worker<'a, 'w, S> {
    work: &'a Work<'w, S>,
    packed: Vec<u8>,
    tar: Vec<u8>,
    decompressor: Decompressor<'static>,
}

/// A file of the list.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    entry: &'a Entry,
    size: u64,
    sha256: Digest,
}

/// Contents that began in an earlier frame.
struct Head<'a> {
    wanted: Wanted<'a>,
    from: u64,
    bytes: Range<usize>,
}

impl<'a, 'w, S: FrameSource> Worker<'a, 'w, S> {
    fn new(work: &'a Work<'w, S>) -> Result<Self, ContentsError> {
        let failed = |error| DiskError::new("unpack into", work.prefix.path(), error);
        let decompressor = Decompressor::new().map_err(failed)?;
        let (packed, tar) = (Vec::new(), Vec::with_capacity(FRAME as usize));
        Ok(Self { work, packed, tar, decompressor })
    }

    fn run(mut self) -> Result<(), ContentsError> {
        while let Some(number) = self.work.next(&mut self.packed)? {
            self.decode(number)?;
            self.create(number)?;
            self.work.write_back.add(self.tar.len() as u64);
            (self.work.progress)(self.tar.len() as u64);
        }
        Ok(())
    }

    /// Decodes a frame, in one step and into a buffer of its size: there is no window, and there
    /// are no more bytes than the layout asks for.
    fn decode(&mut self, number: u64) -> Result<(), ContentsError> {
        let expected = self.work.table.frames()[number as usize].decompressed;
        self.tar.clear();
        match self.decompressor.decompress_to_buffer(&self.packed, &mut self.tar) {
            Ok(len) if len == expected as usize => Ok(()),
            _ => Err(ContentsError::Frame { frame: number }),
        }
    }

    /// Creates the files that begin in the frame, then adds to the one that began before it.
    fn create(&self, number: u64) -> Result<(), ContentsError> {
        let range = self.work.layout.frame(number);
        let mut head = None;
        for part in self.work.layout.parts(range.clone()) {
            let at = (part.at - range.start) as usize;
            let bytes = at..at + part.len as usize;
            match part.piece {
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
    ) -> Result<(), ContentsError> {
        let mut file = self.work.folders.create_file(wanted.entry)?;
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
    fn go_on(&self, number: u64, head: &Head<'_>) -> Result<(), ContentsError> {
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

    fn finish(&self, wanted: Wanted<'_>, file: &File) -> Result<(), ContentsError> {
        let set = set_time(file, self.work.list.time());
        set.map_err(|error| self.unwritten(wanted, error))
    }

    fn hash(
        &self,
        number: u64,
        mut hash: Sha256,
        wanted: Wanted<'_>,
        bytes: Range<usize>,
        written: u64,
    ) -> Result<(), ContentsError> {
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
        Err(ContentsError::File { path: wanted.entry.path.to_string(), expected, found })
    }

    fn unwritten(&self, wanted: Wanted<'_>, source: io::Error) -> ContentsError {
        DiskError::new("write", &self.work.prefix.full(&wanted.entry.path), source).into()
    }
}

impl<'w, S> Work<'w, S> {
    /// A file that comes from frames.
    fn wanted(&self, member: usize) -> Option<Wanted<'w>> {
        let entry = &self.list.entries()[member];
        match entry.kind {
            Kind::File { size, sha256, .. } if self.wanted[member] => {
                Some(Wanted { entry, size, sha256 })
            }
            _ => None,
        }
    }
}

/// Gives a file the modification time of all files of its release, seconds since 1970.
pub(super) fn set_time(file: &File, time: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: time as i64, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::futimens(file, &times)?)
}
