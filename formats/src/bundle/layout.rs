//! Where everything lies in the tar: a pure function of the file list.

use std::ops::Range;

use semver::Version;

use super::header::Header;
use super::{BLOCK, FRAME, frames};
use crate::filelist::{Entry, FileList, Member, Shape};
use crate::name::Product;

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
    /// Where each member begins.
    starts: Vec<Start>,
    /// Where the last member's padding ends.
    end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    header: u64,
    contents: u64,
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
        let members = list.entries().iter().map(Entry::member).collect();
        Self::of(list.product(), list.version(), list.time(), members)
    }

    /// The layout of `members`, which are in the order of their path bytes.
    #[must_use]
    pub fn of(product: &Product, version: &Version, time: u64, members: Vec<Member<'a>>) -> Self {
        let top = format!("{product}-{version}/");
        let mut starts = Vec::with_capacity(members.len());
        let mut end = header(&top, None, time, |header| header.len());
        for member in &members {
            let head = header(&top, Some(member), time, |header| header.len());
            starts.push(Start { header: end, contents: end + head });
            end += head + member.shape.size().next_multiple_of(BLOCK);
        }
        Self { top, time, members, starts, end }
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
        let from = self.starts[member].contents;
        from..from + self.members[member].shape.size()
    }

    /// The bytes of the top folder's header.
    #[must_use]
    pub fn top_bytes(&self) -> Vec<u8> {
        header(&self.top, None, self.time, |header| header.bytes())
    }

    /// The bytes of a member's header.
    #[must_use]
    pub fn header_bytes(&self, member: usize) -> Vec<u8> {
        header(&self.top, Some(&self.members[member]), self.time, |header| header.bytes())
    }

    /// What the tar holds in `range`, in order, without gaps; nothing beyond its end.
    pub fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Part> {
        let top_len = self.starts.first().map_or(self.end, |first| first.header);
        let top = Part { at: 0, len: top_len, piece: Piece::Top { from: 0 } };
        let tail = Part { at: self.end, len: END, piece: Piece::Zeros };
        // The member that `range` begins in: the last one that begins before it.
        let first = self.starts.partition_point(|start| start.header <= range.start);
        let members = (first.saturating_sub(1)..self.members.len())
            .take_while(move |member| self.starts[*member].header < range.end)
            .flat_map(|member| self.member_parts(member));
        std::iter::once(top)
            .chain(members)
            .chain(std::iter::once(tail))
            .filter_map(move |part| part.clip(&range))
    }

    fn member_parts(&self, member: usize) -> [Part; 3] {
        let at = self.starts[member].header;
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
}

/// The header of a member, or of the top folder where there is none.
fn header<T>(
    top: &str,
    member: Option<&Member<'_>>,
    time: u64,
    look: impl FnOnce(&Header<'_>) -> T,
) -> T {
    let Some(Member { path, shape }) = member else {
        return look(&Header { name: top, shape: Shape::Folder, time });
    };
    let slash = if *shape == Shape::Folder { "/" } else { "" };
    let name = format!("{top}{path}{slash}");
    look(&Header { name: &name, shape: *shape, time })
}

impl Part {
    /// What of the part lies in `range`, if anything does.
    fn clip(self, range: &Range<u64>) -> Option<Self> {
        let at = self.at.max(range.start);
        let end = (self.at + self.len).min(range.end);
        let skipped = at - self.at;
        if at >= end {
            return None;
        }
        let piece = match self.piece {
            Piece::Top { from } => Piece::Top { from: from + skipped },
            Piece::Header { member, from } => Piece::Header { member, from: from + skipped },
            Piece::Contents { member, from } => Piece::Contents { member, from: from + skipped },
            Piece::Zeros => Piece::Zeros,
        };
        Some(Self { at, len: end - at, piece })
    }
}
