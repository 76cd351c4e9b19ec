//! The frames of a bundle, by number, wherever they come from: each is held to its signed digest
//! before anybody sees it, so a decoder never gets bytes that nobody signed for.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_formats::bundle::FrameTable;
use cutover_formats::descriptor::Descriptor;
use cutover_formats::layout;
use cutover_repository::mirrors::Mirrors;
use cutover_repository::store::{Read as Store, StoreError};

use super::FetchError;
use crate::disk::DiskError;

/// Gives frames by number.
pub trait FrameSource: Send {
    /// The bytes of a frame, verified, in the place of what is in `packed`. Each number is larger
    /// than the one before.
    ///
    /// # Errors
    /// Where nobody gives the bytes that were signed.
    fn frame(&mut self, number: u64, packed: &mut Vec<u8>) -> Result<(), FetchError>;
}

/// A bundle that lies in a repository: one stream for each run of frames. Where one breaks, or holds
/// something else than was signed, it goes on at that frame, in the same place or in the next.
pub struct Download<'a> {
    mirrors: &'a Mirrors<'a>,
    table: &'a FrameTable,
    /// Where it lies in each of them.
    path: String,
    /// The frames that one request asks for.
    runs: Vec<Range<u64>>,
    stream: Option<Stream<'a>>,
    transferred: &'a AtomicU64,
}

/// A stream that is at the beginning of a frame.
struct Stream<'a> {
    bytes: Box<dyn Read + Send + 'a>,
    next: u64,
    end: u64,
}

impl<'a> Download<'a> {
    /// The frames `runs` of the bundle of `release`; what comes over the wire is added to `transferred`,
    /// in bytes.
    #[must_use]
    pub fn new(
        mirrors: &'a Mirrors<'a>,
        release: &Descriptor,
        table: &'a FrameTable,
        runs: Vec<Range<u64>>,
        transferred: &'a AtomicU64,
    ) -> Self {
        let path = layout::stored_bundle(&release.product, &release.version, release.bundle());
        Self { mirrors, table, path, runs, stream: None, transferred }
    }

    fn open(&self, store: &'a dyn Store, number: u64) -> Result<Stream<'a>, FetchError> {
        let run = self.runs.iter().find(|run| run.contains(&number));
        let end = run.map_or(number + 1, |run| run.end);
        let (from, to) = (self.start(number), self.start(end));
        Ok(Stream { bytes: store.stream(&self.path, from, to - from)?, next: number, end })
    }

    /// Reads on to the frame and through it.
    fn read(
        &self,
        stream: &mut Stream<'_>,
        number: u64,
        packed: &mut Vec<u8>,
    ) -> Result<(), FetchError> {
        let frame = self.table.frames()[number as usize];
        let between = frame.at - self.start(stream.next);
        let passed = std::io::copy(&mut (&mut stream.bytes).take(between), &mut std::io::sink());
        let passed = passed.map_err(|error| StoreError::from_stream(&self.path, error))?;
        packed.clear();
        packed.reserve_exact(frame.compressed as usize);
        let read = (&mut stream.bytes).take(u64::from(frame.compressed)).read_to_end(packed);
        // Also what came of a frame that broke off.
        self.transferred.fetch_add(passed + packed.len() as u64, Ordering::Relaxed);
        read.map_err(|error| StoreError::from_stream(&self.path, error))?;
        let (got, expected) =
            (frame.at + packed.len() as u64, frame.at + u64::from(frame.compressed));
        if got < expected {
            return Err(FetchError::Short { what: self.path.clone(), got, expected });
        }
        stream.next = number + 1;
        Ok(self.table.verify(number, packed)?)
    }

    /// Where a frame begins in the bundle, or the last one ends.
    fn start(&self, number: u64) -> u64 {
        self.table.frames().get(number as usize).map_or(self.table.end(), |frame| frame.at)
    }
}

impl FrameSource for Download<'_> {
    fn frame(&mut self, number: u64, packed: &mut Vec<u8>) -> Result<(), FetchError> {
        if let Some(mut stream) = self.stream.take_if(|stream| number < stream.end) {
            match self.read(&mut stream, number, packed) {
                Ok(()) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(error) => tracing::debug!("{error}; asking for frame {number} again"),
            }
        }
        let stream = self.mirrors.ask(|store| {
            let mut stream = self.open(store, number)?;
            self.read(&mut stream, number, packed)?;
            Ok::<_, FetchError>(stream)
        })?;
        self.stream = Some(stream);
        Ok(())
    }
}

/// A bundle that is a file here.
pub struct LocalBundle<'a> {
    file: &'a File,
    path: &'a Path,
    table: &'a FrameTable,
}

impl<'a> LocalBundle<'a> {
    /// The bundle in `file`, which lies at `path`.
    #[must_use]
    pub fn new(file: &'a File, path: &'a Path, table: &'a FrameTable) -> Self {
        Self { file, path, table }
    }
}

impl FrameSource for LocalBundle<'_> {
    fn frame(&mut self, number: u64, packed: &mut Vec<u8>) -> Result<(), FetchError> {
        let frame = self.table.frames()[number as usize];
        packed.resize(frame.compressed as usize, 0);
        match self.file.read_exact_at(packed, frame.at) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                let what = self.path.display().to_string();
                let got = self.file.metadata().map_or(0, |found| found.len());
                let expected = frame.at + u64::from(frame.compressed);
                Err(FetchError::Short { what, got, expected })
            }
            read => {
                read.map_err(|error| DiskError::new("read", self.path, error))?;
                Ok(self.table.verify(number, packed)?)
            }
        }
    }
}
