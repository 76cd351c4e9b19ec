//! Where everything lies in the tar: a pure function of the file list.

use std::ops::Range;

use super::header::Header;
use super::{BLOCK, FRAME, frames};
use crate::filelist::{FileList, Member, Shape};

/// The two blocks of zeros that end a tar.
const END: u64 = 2 * BLOCK;

/// The layout of a bundle's tar.
///
/// Built from [`Member`]s, so that a writer has it before it has read (and hashed) any file.
#[derive(Clone, Debug)]
pub struct Layout<'a> {
    top: String,
    time: u64,
    members: Vec<Member<'a>>,
    /// Where each member's header begins.
    starts: Vec<u64>,
    /// Where the last member's padding ends.
    end: u64,
}

/// A part of one piece of the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where in the tar it begins.
    pub at: u64,
    /// How many bytes it has.
    pub len: u64,
    /// Which bytes they are.
    pub piece: Piece,
}

/// What a part of the tar holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The header of the top folder, from this byte of it on.
    Top {
        /// First byte.
        from: u64,
    },
    /// A member's header, from this byte of it on.
    Header {
        /// Index of the member.
        member: usize,
        /// First byte.
        from: u64,
    },
    /// A member's contents, from this byte of them on.
    Contents {
        /// Index of the member.
        member: usize,
        /// First byte.
        from: u64,
    },
    /// Zeros, after contents or at the end.
    Zeros,
}

impl<'a> Layout<'a> {
    /// The layout of the bundle that carries `list`.
    #[must_use]
    pub fn new(list: &'a FileList) -> Self {
        let members = list.entries().iter().map(super::super::filelist::Entry::member).collect();
        Self::of(&top(list.product().as_str(), list.version()), list.time(), members)
    }

    /// The layout of `members`, which are in the order of their path bytes, in the folder `top`.
    #[must_use]
    pub fn of(top: &str, time: u64, members: Vec<Member<'a>>) -> Self {
        let mut layout = Self { top: format!("{top}/"), time, members, starts: Vec::new(), end: 0 };
        layout.end = layout.top_header().len();
        layout.starts.reserve_exact(layout.members.len());
        for index in 0..layout.members.len() {
            layout.starts.push(layout.end);
            let contents = layout.members[index].shape.size().next_multiple_of(BLOCK);
            layout.end += layout.with_header(index, |header| header.len()) + contents;
        }
        layout
    }

    /// The members, in order.
    #[must_use]
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Bytes of the whole tar.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.end + END
    }

    /// Number of frames of the bundle.
    #[must_use]
    pub fn frames(&self) -> u64 {
        frames(self.total_len())
    }

    /// The part of the tar that a frame holds.
    #[must_use]
    pub fn frame(&self, index: u64) -> Range<u64> {
        let from = index.saturating_mul(FRAME);
        from.min(self.total_len())..from.saturating_add(FRAME).min(self.total_len())
    }

    /// Where the contents of a member lie in the tar.
    #[must_use]
    pub fn contents(&self, member: usize) -> Range<u64> {
        let from = self.starts[member] + self.with_header(member, |header| header.len());
        from..from + self.members[member].shape.size()
    }

    /// The bytes of the top folder's header.
    #[must_use]
    pub fn top_bytes(&self) -> Vec<u8> {
        self.top_header().bytes()
    }

    /// The bytes of a member's header.
    #[must_use]
    pub fn header_bytes(&self, member: usize) -> Vec<u8> {
        self.with_header(member, |header| header.bytes())
    }

    /// What the tar holds in `range`, in order, without gaps; nothing beyond its end.
    pub fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Part> {
        // The member that `range` begins in, or the one after it; one before covers the padding.
        let first = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        let top = (range.start < self.top_header().len()).then(|| self.top_part());
        let tail = Part { at: self.end, len: END, piece: Piece::Zeros };
        let members = (first..self.members.len())
            .take_while(move |member| self.starts[*member] < range.end)
            .flat_map(|member| self.member_parts(member));
        top.into_iter()
            .chain(members)
            .chain(std::iter::once(tail))
            .filter_map(move |part| part.clip(&range))
    }

    fn top_part(&self) -> Part {
        Part { at: 0, len: self.top_header().len(), piece: Piece::Top { from: 0 } }
    }

    fn member_parts(&self, member: usize) -> [Part; 3] {
        let at = self.starts[member];
        let contents = self.contents(member);
        let padding = contents.end.next_multiple_of(BLOCK) - contents.end;
        [
            Part { at, len: contents.start - at, piece: Piece::Header { member, from: 0 } },
            Part {
                at: contents.start,
                len: contents.end - contents.start,
                piece: Piece::Contents { member, from: 0 },
            },
            Part { at: contents.end, len: padding, piece: Piece::Zeros },
        ]
    }

    fn top_header(&self) -> Header<'_> {
        Header { name: &self.top, shape: Shape::Folder, time: self.time }
    }

    fn with_header<T>(&self, member: usize, look: impl FnOnce(&Header<'_>) -> T) -> T {
        let Member { path, shape } = self.members[member];
        let slash = if shape == Shape::Folder { "/" } else { "" };
        let name = format!("{}{path}{slash}", self.top);
        look(&Header { name: &name, shape, time: self.time })
    }
}

/// The top folder of a release's tar, e.g. `weave-1.1.4`.
fn top(product: &str, version: &semver::Version) -> String {
    format!("{product}-{version}")
}

impl Part {
    /// What of the part lies in `range`, if anything does.
    fn clip(self, range: &Range<u64>) -> Option<Self> {
        let at = self.at.max(range.start);
        let end = (self.at + self.len).min(range.end);
        let skipped = at - self.at;
        let piece = match self.piece {
            Piece::Top { from } => Piece::Top { from: from + skipped },
            Piece::Header { member, from } => Piece::Header { member, from: from + skipped },
            Piece::Contents { member, from } => Piece::Contents { member, from: from + skipped },
            Piece::Zeros => Piece::Zeros,
        };
        (at < end).then(|| Self { at, len: end - at, piece })
    }
}
