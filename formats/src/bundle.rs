//! The bundle, `<product>-<version>.tar.zst`: the contents of a release in one file.
//!
#![doc = include_str!("../docs/bundle.md")]

mod frame_table;
mod header;
mod layout;
mod relay;
mod seek_table;

pub use frame_table::{
    ExpectedFrames, FrameTable, InvalidFrameTable, SignedFrame, WrongFrame, frame_table_len,
};
pub use layout::{Layout, Part, Piece};
pub use relay::Relay;
pub use seek_table::{Frame, InvalidSeekTable, SeekTable, table_len};

/// Bytes of tar in each frame but the last.
pub const FRAME: u64 = 4 << 20;

/// The unit of a tar.
pub const BLOCK: u64 = 512;

/// Number of frames of a tar of `total` bytes.
#[must_use]
pub fn frames(total: u64) -> u64 {
    total.div_ceil(FRAME)
}
