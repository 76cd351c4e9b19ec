//! What a service says, from a pipe into files.

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::log_files::LogFiles;

/// How much is taken at once.
const CHUNK: usize = 64 * 1024;

/// A service's output on its way.
#[derive(Debug)]
pub(super) struct Output {
    reader: pipe::Receiver,
    files: LogFiles,
    chunk: Vec<u8>,
    lost: u64,
}

/// Whether more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// A piece is in its file, or lost.
    Piece,
    /// Nobody holds the other end any more.
    Last,
}

impl Output {
    /// From `reader` to `files`.
    pub(super) fn new(reader: pipe::Receiver, files: LogFiles) -> Self {
        Self { reader, files, chunk: vec![0; CHUNK], lost: 0 }
    }

    /// The next piece.
    pub(super) async fn pass_on(&mut self) -> Passed {
        match self.reader.read(&mut self.chunk).await {
            Ok(length @ 1..) => {
                self.write(length);
                Passed::Piece
            }
            Ok(0) | Err(_) => Passed::Last,
        }
    }

    /// With a word before it where some was lost.
    fn write(&mut self, length: usize) {
        if self.lost > 0 {
            let start = if self.files.is_within_line() { "\n" } else { "" };
            let lost = self.lost;
            let word = format!("{start}cutover: {lost} bytes of output could not be written\n");
            if self.files.write(word.as_bytes()).is_err() {
                self.lost += length as u64;
                return;
            }
            self.lost = 0;
        }
        if let Err(lost) = self.files.write(&self.chunk[..length]) {
            self.lost += lost.bytes;
        }
    }
}
