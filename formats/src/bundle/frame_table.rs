//! The frame table: the length and the digest of every compressed frame, signed for by the descriptor.
//!
//! With it each frame is held to its digest before it is decoded, whoever carried it, so a decoder
//! sees only bytes that the publisher made. The table itself is foreign bytes until its digest is the
//! one that the descriptor signs for, which is checked first. After that a signer may still have been
//! careless or coerced: how many frames there are and what each holds follows from the file list, so
//! nothing is read or allocated by what the table says; no frame may be longer than zstd makes it of
//! 4 MiB, nor empty; and all must add up to the bundle, so no reader is sent beyond its end.

use super::Layout;
use super::seek_table::{SeekTable, largest_frame, table_len};
use crate::digest::Digest;
use crate::exit::{Exit, Explain};
use crate::format::{Format, UnknownFormat};

/// The format, which the first line names.
const FORMAT: Format = Format { name: "cutover.frames", major: 1, minor: 0 };

/// Bytes of an entry: the compressed length, and the digest.
const ENTRY: usize = 4 + 32;

/// A frame of a bundle, as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedFrame {
    /// Its first byte in the bundle.
    pub at: u64,
    /// Bytes in the bundle.
    pub compressed: u32,
    /// Bytes of tar.
    pub decompressed: u32,
    /// Digest of its bytes in the bundle.
    pub sha256: Digest,
}

/// All frames of a bundle, in order. Whoever holds a parsed one knows that they fit the file list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameTable {
    frames: Vec<SignedFrame>,
}

/// What a descriptor says of a frame table, to which it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedFrames {
    /// Digest of the table.
    pub sha256: Digest,
    /// Bytes of the table.
    pub size: u64,
    /// Bytes of the bundle.
    pub bundle: u64,
}

/// A frame table that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrameTable {
    /// Not the bytes that the descriptor signs for.
    #[error("frame table: its sha256 is {found}, the descriptor says {expected}")]
    Digest {
        /// What it is.
        found: Digest,
        /// What it should be.
        expected: Digest,
    },
    /// Another format or a newer one.
    #[error("frame table: {0}")]
    Format(#[from] UnknownFormat),
    /// Not one entry for each frame that the file list asks for.
    #[error("frame table: it has {found} bytes, a table of {frames} frames has {expected}")]
    Length {
        /// How many frames the file list asks for.
        frames: u64,
        /// Bytes that it has.
        found: u64,
        /// Bytes that it should have.
        expected: u64,
    },
    /// A frame is empty, or longer than zstd makes it.
    #[error("frame table: frame {frame} is listed with {compressed} bytes")]
    Frame {
        /// Which one, from 0.
        frame: u64,
        /// What the table says.
        compressed: u32,
    },
    /// The frames do not add up to the bundle.
    #[error(
        "frame table: frames and seek table add up to {found} bytes, the bundle has {expected}"
    )]
    Sum {
        /// Sum of the table, and of the seek table that follows the frames.
        found: u64,
        /// Bytes of the bundle.
        expected: u64,
    },
}

/// A frame whose bytes are not those that were signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bundle: frame {frame} has sha256 {found}, but {expected} was signed")]
pub struct WrongFrame {
    /// Which one, from 0.
    pub frame: u64,
    /// What came.
    pub found: Digest,
    /// What was signed.
    pub expected: Digest,
}

impl Explain for InvalidFrameTable {
    fn exit(&self) -> Exit {
        match self {
            Self::Format(error) => error.exit(),
            _ => Exit::NotTrusted,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Format(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl Explain for WrongFrame {
    fn exit(&self) -> Exit {
        Exit::NotTrusted
    }
}

/// Bytes of the frame table of a bundle of `frames` frames.
#[must_use]
pub fn frame_table_len(frames: u64) -> u64 {
    header().len() as u64 + frames.saturating_mul(ENTRY as u64)
}

fn header() -> String {
    format!("{FORMAT}\n")
}

impl FrameTable {
    /// Adds the next frame, which holds `decompressed` bytes of tar.
    pub fn push(&mut self, compressed: u32, decompressed: u32, sha256: Digest) {
        let at = self.end();
        self.frames.push(SignedFrame { at, compressed, decompressed, sha256 });
    }

    /// The frames, in order.
    #[must_use]
    pub fn frames(&self) -> &[SignedFrame] {
        &self.frames
    }

    /// Where the last frame ends in the bundle, and the seek table begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.frames.last().map_or(0, |last| last.at + u64::from(last.compressed))
    }

    /// The bytes that are published.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = header().into_bytes();
        bytes.reserve_exact(self.frames.len() * ENTRY);
        for frame in &self.frames {
            bytes.extend(frame.compressed.to_le_bytes());
            bytes.extend(frame.sha256.as_bytes());
        }
        bytes
    }

    /// The seek table that ends the bundle of these frames.
    #[must_use]
    pub fn seek_table(&self) -> Vec<u8> {
        let mut table = SeekTable::default();
        self.frames.iter().for_each(|frame| table.push(frame.compressed, frame.decompressed));
        table.to_bytes()
    }

    /// Reads the table of a bundle that should carry what `layout` says.
    ///
    /// # Errors
    /// Where it is not what was signed, not of this format, or does not fit layout and bundle.
    pub fn parse(
        bytes: &[u8],
        expected: &ExpectedFrames,
        layout: &Layout<'_>,
    ) -> Result<Self, InvalidFrameTable> {
        let found = Digest::of(bytes);
        if found != expected.sha256 {
            return Err(InvalidFrameTable::Digest { found, expected: expected.sha256 });
        }
        let mut table = Self::default();
        let entries = entries(bytes, expected.size, layout.frames())?;
        for (index, (compressed, sha256)) in entries.enumerate() {
            let frame = index as u64;
            if compressed == 0 || u64::from(compressed) > largest_frame() {
                return Err(InvalidFrameTable::Frame { frame, compressed });
            }
            let range = layout.frame(frame);
            table.push(compressed, (range.end - range.start) as u32, sha256);
        }
        let found = table.end() + table_len(layout.frames());
        let expected = expected.bundle;
        if found == expected { Ok(table) } else { Err(InvalidFrameTable::Sum { found, expected }) }
    }

    /// Holds the bytes of a frame to what was signed; only then may they be decoded.
    ///
    /// # Errors
    /// Where they are other bytes, fewer or more.
    ///
    /// # Panics
    /// Where the bundle has no such frame.
    pub fn verify(&self, frame: u64, bytes: &[u8]) -> Result<(), WrongFrame> {
        let expected = self.frames[frame as usize].sha256;
        let found = Digest::of(bytes);
        if found == expected { Ok(()) } else { Err(WrongFrame { frame, found, expected }) }
    }
}

fn held_to_length(found: u64, frames: u64) -> Result<(), InvalidFrameTable> {
    let expected = frame_table_len(frames);
    if found == expected {
        return Ok(());
    }
    Err(InvalidFrameTable::Length { frames, found, expected })
}

/// The entries of a table of exactly `frames` frames, which has and is signed to have its length.
fn entries(
    bytes: &[u8],
    signed: u64,
    frames: u64,
) -> Result<impl Iterator<Item = (u32, Digest)>, InvalidFrameTable> {
    let line = bytes.iter().take(64).position(|byte| *byte == b'\n').unwrap_or(0);
    FORMAT.accept(&String::from_utf8_lossy(&bytes[..line]))?;
    held_to_length(bytes.len() as u64, frames)?;
    held_to_length(signed, frames)?;
    let (entries, _) = bytes[line + 1..].as_chunks::<ENTRY>();
    Ok(entries.iter().map(|entry| {
        let (compressed, sha256) = entry.split_at(4);
        let compressed = u32::from_le_bytes(compressed.try_into().expect("it has 4 bytes"));
        let sha256: [u8; 32] = sha256.try_into().expect("it has 32 bytes");
        (compressed, sha256.into())
    }))
}
