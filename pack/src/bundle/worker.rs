//! One thread of the writer: takes the next frame, reads, hashes, compresses, until none is left.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_formats::bundle::{Layout, Piece, Relay};
use cutover_formats::digest::Digest;
use sha2::{Digest as _, Sha256};
use zstd::bulk::Compressor;

use super::output::{Output, Packed};
use super::plan::Plan;
use super::{BundleError, FRAME_LEN};

/// What all workers share.
pub(super) struct Work<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) layout: &'a Layout<'a>,
    pub(super) output: Output<'a>,
    pub(super) relay: Relay<Sha256>,
    pub(super) next: AtomicU64,
    pub(super) level: i32,
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

/// Digests of members, by index.
pub(super) type Digests = Vec<(usize, Digest)>;

impl Work<'_> {
    /// Works until no frame is left, or somebody failed. Returns the digests it came upon.
    pub(super) fn run(&self) -> Result<Digests, BundleError> {
        let stop = StopUnlessDone(self);
        let digests = Worker::new(self)?.run()?;
        std::mem::forget(stop);
        Ok(digests)
    }

    fn stop(&self) {
        self.next.store(self.layout.frames(), Ordering::Relaxed);
        self.relay.stop();
        self.output.stop();
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
    /// A frame of tar, and one byte to notice files that grew.
    tar: Vec<u8>,
    compressor: Compressor<'static>,
    digests: Digests,
}

/// Contents that began in an earlier frame.
struct Head {
    member: usize,
    end: u64,
    bytes: Range<usize>,
}

impl<'a, 'w> Worker<'a, 'w> {
    fn new(work: &'a Work<'w>) -> Result<Self, BundleError> {
        let mut compressor = Compressor::new(work.level).map_err(BundleError::Write)?;
        compressor.include_checksum(true).map_err(BundleError::Write)?;
        Ok(Self { work, tar: vec![0; FRAME_LEN + 1], compressor, digests: Vec::new() })
    }

    fn run(mut self) -> Result<Digests, BundleError> {
        loop {
            let frame = self.work.next.fetch_add(1, Ordering::Relaxed);
            if frame >= self.work.layout.frames() {
                return Ok(self.digests);
            }
            let range = self.work.layout.frame(frame);
            let len = (range.end - range.start) as usize;
            let head = self.fill(frame, range)?;
            let mut packed = self.work.output.buffer();
            self.compressor
                .compress_to_buffer(&self.tar[..len], &mut packed)
                .map_err(BundleError::Write)?;
            if let Some(head) = head {
                self.go_on(frame, head);
            }
            let sha256 = Digest::of(&packed);
            self.work.output.put(frame, Packed { bytes: packed, sha256, decompressed: len })?;
            (self.work.progress)(len as u64);
        }
    }

    /// Reads what lies in the frame. Contents that begin in it are hashed while they are in the
    /// processor's cache; those that began earlier are returned.
    fn fill(&mut self, frame: u64, range: Range<u64>) -> Result<Option<Head>, BundleError> {
        let (layout, plan) = (self.work.layout, self.work.plan);
        let mut head = None;
        for part in layout.parts(range.clone()) {
            let at = (part.at - range.start) as usize;
            let bytes = at..at + part.len as usize;
            match part.piece {
                Piece::Top { from } => self.copy(bytes, &layout.top_bytes(), from),
                Piece::Header { member, from } => {
                    self.copy(bytes, &layout.header_bytes(member), from);
                    if from == 0 && layout.members()[member].shape.size() == 0 {
                        self.empty(member)?;
                    }
                }
                Piece::Contents { member, from } => {
                    let source = plan.sources[member].expect("what has contents has a source");
                    self.read(source, bytes.clone(), from, layout.members()[member].shape.size())?;
                    let end = from + part.len;
                    if from == 0 {
                        self.hash(frame, Sha256::new(), &Head { member, end, bytes });
                    } else {
                        head = Some(Head { member, end, bytes });
                    }
                }
                Piece::Zeros => self.tar[bytes].fill(0),
            }
        }
        Ok(head)
    }

    fn copy(&mut self, to: Range<usize>, piece: &[u8], from: u64) {
        let from = from as usize;
        let len = to.len();
        self.tar[to].copy_from_slice(&piece[from..from + len]);
    }

    /// Nothing of an empty file lies in the tar, yet it must still be there and be empty.
    fn empty(&mut self, member: usize) -> Result<(), BundleError> {
        if let Some(source) = self.work.plan.sources[member] {
            let mut byte = [0];
            let found = File::open(source).and_then(|file| file.read_at(&mut byte, 0));
            match found.map_err(|error| cannot_read(source, error))? {
                0 => self.digests.push((member, Digest::of(b""))),
                _ => return Err(changed(source, 0)),
            }
        }
        Ok(())
    }

    /// Reads contents from byte `from` on to where they lie in the frame. At the end of a file one
    /// byte more is asked for (what follows in the frame is filled later), to notice that it grew.
    fn read(
        &mut self,
        source: &Path,
        to: Range<usize>,
        from: u64,
        size: u64,
    ) -> Result<(), BundleError> {
        let len = to.len();
        let probe = usize::from(from + len as u64 == size);
        let space = &mut self.tar[to.start..to.end + probe];
        let file = File::open(source).map_err(|error| cannot_read(source, error))?;
        let mut filled = 0;
        while filled < len {
            match file.read_at(&mut space[filled..], from + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_read(source, error)),
            }
        }
        if filled == len { Ok(()) } else { Err(changed(source, size)) }
    }

    /// Hashes contents that began in an earlier frame, as soon as that one has been hashed.
    fn go_on(&mut self, frame: u64, head: Head) {
        // Without a baton somebody has failed, and the error is theirs to tell.
        if let Some(hash) = self.work.relay.take(frame) {
            self.hash(frame, hash, &head);
        }
    }

    fn hash(&mut self, frame: u64, mut hash: Sha256, part: &Head) {
        hash.update(&self.tar[part.bytes.clone()]);
        if part.end == self.work.layout.members()[part.member].shape.size() {
            let sha256: [u8; 32] = hash.finalize().into();
            self.digests.push((part.member, sha256.into()));
        } else {
            self.work.relay.hand_on(frame + 1, hash);
        }
    }
}

fn cannot_read(path: &Path, source: io::Error) -> BundleError {
    BundleError::Read { path: path.to_owned(), source }
}

fn changed(path: &Path, expected: u64) -> BundleError {
    BundleError::Changed { path: path.to_owned(), expected }
}
