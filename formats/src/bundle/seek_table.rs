//! The seek table: the skippable frame that ends a bundle and says how long each frame is.
//!
//! It is foreign bytes, though from a bundle whose digest is signed. How many frames there are
//! and what each holds follows from the layout, so the table's length is known before it is read,
//! and all that it may say is how well each frame compressed.

use super::{FRAME, Layout};
use crate::exit::{Exit, Explain};

const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
const HEADER: u64 = 8;
const ENTRY: u64 = 8;
const FOOTER: u64 = 9;

/// Bytes of the seek table of a bundle of `frames` frames.
#[must_use]
pub fn table_len(frames: u64) -> u64 {
    HEADER + ENTRY * frames + FOOTER
}

/// Where a frame lies in the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its first byte in the bundle.
    pub at: u64,
    /// Bytes in the bundle.
    pub compressed: u32,
    /// Bytes of tar.
    pub decompressed: u32,
}

/// Where all frames lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeekTable {
    frames: Vec<Frame>,
}

/// A seek table that does not belong to the file list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSeekTable {
    /// The end of the bundle is not a seek table of this many frames.
    #[error("bundle: its end is not the seek table of {frames} frames")]
    Missing {
        /// How many frames the file list asks for.
        frames: u64,
    },
    /// A frame does not hold what the file list asks for, or more than zstd can make of it.
    #[error("bundle: frame {frame} is listed with {compressed} bytes for {decompressed} of tar")]
    Frame {
        /// Which one.
        frame: u64,
        /// What the table says.
        compressed: u32,
        /// What the table says.
        decompressed: u32,
    },
    /// The frames do not add up to the bundle.
    #[error("bundle: its frames add up to {found} bytes, it has {expected}")]
    Sum {
        /// Sum of the table.
        found: u64,
        /// What should be.
        expected: u64,
    },
}

impl Explain for InvalidSeekTable {
    fn exit(&self) -> Exit {
        Exit::NotTrusted
    }
}

impl SeekTable {
    /// Adds the next frame.
    pub fn push(&mut self, compressed: u32, decompressed: u32) {
        self.frames.push(Frame { at: self.end(), compressed, decompressed });
    }

    /// The frames, in order.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    fn end(&self) -> u64 {
        self.frames.last().map_or(0, |last| last.at + u64::from(last.compressed))
    }

    /// The bytes that end the bundle.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let frames = self.frames.len() as u64;
        let mut bytes = Vec::with_capacity(table_len(frames) as usize);
        bytes.extend(SKIPPABLE.to_le_bytes());
        bytes.extend(((ENTRY * frames + FOOTER) as u32).to_le_bytes());
        for frame in &self.frames {
            bytes.extend(frame.compressed.to_le_bytes());
            bytes.extend(frame.decompressed.to_le_bytes());
        }
        bytes.extend((frames as u32).to_le_bytes());
        bytes.push(0);
        bytes.extend(SEEKABLE.to_le_bytes());
        bytes
    }

    /// Reads the table from `tail`, the last [`table_len`] bytes of a bundle of `size` bytes that
    /// should carry what `layout` says.
    pub fn parse(tail: &[u8], size: u64, layout: &Layout<'_>) -> Result<Self, InvalidSeekTable> {
        let missing = InvalidSeekTable::Missing { frames: layout.frames() };
        let mut table = Self::default();
        for (index, entry) in entries(tail, layout.frames()).ok_or(missing)?.enumerate() {
            let range = layout.frame(index as u64);
            let (compressed, decompressed) = entry;
            if u64::from(decompressed) != range.end - range.start
                || compressed == 0
                || u64::from(compressed) > largest_frame()
            {
                let frame = index as u64;
                return Err(InvalidSeekTable::Frame { frame, compressed, decompressed });
            }
            table.push(compressed, decompressed);
        }
        let (found, expected) = (table.end() + tail.len() as u64, size);
        if found == expected { Ok(table) } else { Err(InvalidSeekTable::Sum { found, expected }) }
    }
}

/// Most bytes that zstd makes of one frame's tar.
#[must_use]
pub(super) fn largest_frame() -> u64 {
    zstd::zstd_safe::compress_bound(FRAME as usize) as u64
}

/// The pairs of lengths in `tail`, if it is a table of exactly `frames` frames.
fn entries(tail: &[u8], frames: u64) -> Option<impl Iterator<Item = (u32, u32)>> {
    if tail.len() as u64 != table_len(frames) {
        return None;
    }
    let word = |at: usize| tail[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let (body, footer) = (HEADER as usize, tail.len() - FOOTER as usize);
    let sound = word(0)? == SKIPPABLE
        && u64::from(word(4)?) + HEADER == tail.len() as u64
        && u64::from(word(footer)?) == frames
        && tail[footer + 4] == 0
        && word(footer + 5)? == SEEKABLE;
    let pair = |entry: &[u8; 8]| {
        let [a, b, c, d, e, f, g, h] = *entry;
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
    };
    sound.then(|| tail[body..footer].as_chunks().0.iter().map(pair))
}
