//! Compressed frames on their way into the bundle, in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use blake2::Blake2b512;
use cutover_formats::bundle::{FrameTable, frames};
use cutover_formats::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::BundleError;

/// Where finished frames go. Whoever brings the next one writes it, and those that have been
/// waiting behind it; whoever is too far ahead waits, which bounds memory.
pub(super) struct Output<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
    ahead: u64,
}

struct State<'a> {
    /// The next frame to write.
    next: u64,
    waiting: BTreeMap<u64, Packed>,
    /// Buffers to use again.
    free: Vec<Vec<u8>>,
    /// Lent to whoever is writing.
    sink: Option<Sink<'a>>,
    stopped: bool,
}

/// A finished frame.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: Digest,
    /// Bytes of tar in it.
    pub(super) decompressed: usize,
}

/// What a whole bundle has.
pub(super) struct Ended {
    pub(super) sha256: Digest,
    pub(super) blake2b: [u8; 64],
    pub(super) size: u64,
    pub(super) frames: FrameTable,
}

/// The bundle so far.
struct Sink<'a> {
    file: &'a mut File,
    sha256: Sha256,
    blake2b: Blake2b512,
    size: u64,
    frames: FrameTable,
}

impl<'a> Output<'a> {
    pub(super) fn new(file: &'a mut File, ahead: u64) -> Self {
        let (sha256, blake2b) = (Sha256::new(), Blake2b512::new());
        let sink = Sink { file, sha256, blake2b, size: 0, frames: FrameTable::default() };
        let state = State {
            next: 0,
            waiting: BTreeMap::new(),
            free: Vec::new(),
            sink: Some(sink),
            stopped: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), ahead }
    }

    /// An empty buffer to compress a frame into.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let bound = zstd::zstd_safe::compress_bound(super::FRAME_LEN);
        self.lock().free.pop().unwrap_or_else(|| Vec::with_capacity(bound))
    }

    /// Takes in a finished frame.
    pub(super) fn put(&self, frame: u64, packed: Packed) -> Result<(), BundleError> {
        let mut state = self.lock();
        while frame >= state.next + self.ahead && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.insert(frame, packed);
        match state.sink.take() {
            Some(sink) => self.drain(state, sink).map_err(BundleError::Write),
            None => Ok(()),
        }
    }

    /// Writes what is next for as long as it is there. The lock is not held while writing.
    fn drain<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<'a>>,
        mut sink: Sink<'a>,
    ) -> io::Result<()> {
        loop {
            let next = state.next;
            let Some(mut packed) = state.waiting.remove(&next) else {
                state.sink = Some(sink);
                return Ok(());
            };
            drop(state);
            sink.frames.push(packed.bytes.len() as u32, packed.decompressed as u32, packed.sha256);
            sink.write(&packed.bytes)?;
            packed.bytes.clear();
            state = self.lock();
            state.free.push(packed.bytes);
            state.next += 1;
            self.changed.notify_all();
        }
    }

    /// Ends all waiting, because something failed.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Ends the bundle with its seek table, when all frames of a tar of `total` bytes are written.
    pub(super) fn finish(self, total: u64) -> Result<Ended, BundleError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(state.next, frames(total), "every frame has been written");
        let mut sink = state.sink.expect("nobody is writing any more");
        let table = sink.frames.seek_table();
        sink.write(&table).map_err(BundleError::Write)?;
        let sha256 = Digest::from(<[u8; 32]>::from(sink.sha256.finalize()));
        let blake2b = sink.blake2b.finalize().into();
        Ok(Ended { sha256, blake2b, size: sink.size, frames: sink.frames })
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sha256.update(bytes);
        self.blake2b.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}
