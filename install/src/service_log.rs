//! What the node's services have said, read from the files that the gate keeps of it.
//!
//! A release's output is one text in several [pieces](self::pieces()), which move to higher numbers and go away in
//! the end while it is read. Each is known by what it is, not by its name, so nothing is read twice and
//! nothing is passed over. Little is held of it, however large it is: the end is found from the end.

mod lines;
mod pieces;

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use cutover_formats::version::Version;

use self::lines::Lines;
use self::pieces::{Piece, last, newest_is, pieces};
use crate::disk::DiskError;
use crate::root::Root;

/// How many lines of what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every one.
    All,
    /// So many, the last.
    Last(u64),
}

/// Not a number of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is a number of lines, or `all`")]
pub struct InvalidWanted;

impl std::str::FromStr for Wanted {
    type Err = InvalidWanted;

    fn from_str(text: &str) -> Result<Self, InvalidWanted> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Last).map_err(|_| InvalidWanted),
        }
    }
}

/// Of which releases there is output, each with the time at which it last said something.
pub fn kept(root: &Root) -> Result<BTreeMap<Version, SystemTime>, DiskError> {
    let folder = root.run();
    let wrong = |error| DiskError::new("read", &folder, error);
    let mut kept = BTreeMap::new();
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(kept),
        entries => entries.map_err(wrong)?,
    };
    for entry in entries {
        let entry = entry.map_err(wrong)?;
        let Some(version) = entry.file_name().to_str().and_then(Root::service_of_log) else {
            continue;
        };
        // Files go away while they are looked at.
        let Ok(meta) = entry.metadata() else { continue };
        let said = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let latest = kept.entry(version).or_insert(said);
        *latest = said.max(*latest);
    }
    Ok(kept)
}

/// The output of one release, from somewhere on.
#[derive(Debug)]
pub struct Reader {
    version: Version,
    piece: Option<Piece>,
    offset: u64,
    lines: Lines,
}

/// Whether a release's output is still kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is, and has been read to its end.
    Kept,
    /// The release was removed, and its output with it.
    Gone,
}

impl Reader {
    /// At the beginning of what is kept of a release.
    pub fn at_start(root: &Root, version: &Version) -> Result<Self, DiskError> {
        let oldest = pieces(root, version)?.pop();
        Ok(Self::new(version, oldest, 0))
    }

    /// So many lines before its end, or fewer where it has no more; how many those are.
    pub fn before_end(
        root: &Root,
        version: &Version,
        lines: u64,
    ) -> Result<(Self, u64), DiskError> {
        let mut pieces = pieces(root, version)?;
        let log = root.service_log(version);
        let start = last(&pieces, lines).map_err(|error| DiskError::new("read", &log, error))?;
        let piece = (start.piece < pieces.len()).then(|| pieces.swap_remove(start.piece));
        Ok((Self::new(version, piece, start.offset), start.lines))
    }

    fn new(version: &Version, piece: Option<Piece>, offset: u64) -> Self {
        Self { version: version.clone(), piece, offset, lines: Lines::default() }
    }

    /// The release.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Goes on to the end of what there is now, and hands each whole line on with its end.
    pub fn read<E: From<DiskError>>(
        &mut self,
        root: &Root,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Standing, E> {
        loop {
            let here = self.piece.as_ref();
            if here.is_some_and(|piece| newest_is(root, &self.version, piece)) {
                self.drain(root, &mut take)?;
                return Ok(Standing::Kept);
            }
            // What has been moved is written no more: this is all of it.
            let mut pieces = pieces(root, &self.version)?;
            self.drain(root, &mut take)?;
            let here = self.piece.as_ref();
            let next = match pieces.iter().position(|piece| here.is_some_and(|it| it.is(piece))) {
                Some(0) => return Ok(Standing::Kept),
                Some(at) => at - 1,
                None if pieces.is_empty() => return Ok(Standing::Gone),
                None => pieces.len() - 1,
            };
            (self.piece, self.offset) = (Some(pieces.swap_remove(next)), 0);
        }
    }

    /// Hands on a line that has no end.
    pub fn rest<E>(&mut self, take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.lines.rest(take)
    }

    /// The present piece, as far as it is written now.
    fn drain<E: From<DiskError>>(
        &mut self,
        root: &Root,
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(piece) = &self.piece else { return Ok(()) };
        let log = root.service_log(&self.version);
        let wrong = |error| DiskError::new("read", &log, error);
        let end = piece.length().map_err(wrong)?;
        if end < self.offset {
            // On a full disk the gate takes back the line that it was writing, or begins the file again.
            let taken_back = self.offset.saturating_sub(self.lines.forget()) <= end;
            self.offset = if taken_back { end } else { 0 };
        }
        if self.offset == end {
            return Ok(());
        }
        let mut block = vec![0; pieces::BLOCK];
        while self.offset < end {
            let most =
                usize::try_from(end - self.offset).map_or(block.len(), |n| n.min(block.len()));
            let length = piece.read_at(&mut block[..most], self.offset).map_err(wrong)?;
            if length == 0 {
                break;
            }
            self.offset += length as u64;
            self.lines.add(&block[..length], &mut *take)?;
        }
        Ok(())
    }
}
