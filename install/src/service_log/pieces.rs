//! The files that a release's output is in: `service-<version>.log` is written, `.log.1` was before it, and
//! so on. They move up while they are looked at.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use cutover_formats::version::Version;

use crate::disk::DiskError;
use crate::gate::older_log;
use crate::root::Root;

/// How much is read at once.
pub(super) const BLOCK: usize = 64 * 1024;

/// One of the files, open, whatever it is called by now.
#[derive(Debug)]
pub(super) struct Piece {
    file: File,
    id: (u64, u64),
}

/// Where the last lines begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// In which piece; the newest is 0.
    pub(super) piece: usize,
    /// Where in it.
    pub(super) offset: u64,
    /// How many lines there are from there on.
    pub(super) lines: u64,
}

impl Piece {
    /// Whether both are the same file.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// How long it is now.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// What stands there.
    pub(super) fn read_at(&self, block: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(block, offset)
    }
}

fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Whether this is the file that is written.
pub(super) fn newest_is(root: &Root, version: &Version, piece: &Piece) -> bool {
    fs::metadata(root.service_log(version)).is_ok_and(|newest| id(&newest) == piece.id)
}

/// All of a release, the newest first. Files only ever move up, so one that moves meanwhile is met
/// again rather than missed.
pub(super) fn pieces(root: &Root, version: &Version) -> Result<Vec<Piece>, DiskError> {
    let newest = root.service_log(version);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut missing = 0;
    for number in 0.. {
        let path = match number {
            0 => newest.clone(),
            number => older_log(&newest, number),
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            // While files move, the one that is written and one other may have no name for a moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing < 2 => {
                missing += 1;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(DiskError::new("read", &path, error)),
        };
        let meta = file.metadata().map_err(|error| DiskError::new("read", &path, error))?;
        let piece = Piece { file, id: id(&meta) };
        if !pieces.iter().any(|known| known.is(&piece)) {
            pieces.push(piece);
        }
    }
    Ok(pieces)
}

/// Where the last `wanted` lines of a text begin, looked for from its end.
pub(super) fn last(pieces: &[Piece], wanted: u64) -> io::Result<Start> {
    let mut lines = 0;
    let mut at_end = true;
    let mut block = vec![0; BLOCK];
    for (number, piece) in pieces.iter().enumerate() {
        let mut end = piece.length()?;
        if number == 0 && wanted == 0 {
            return Ok(Start { piece: 0, offset: end, lines: 0 });
        }
        while end > 0 {
            let begin = end.saturating_sub(BLOCK as u64);
            let block = &mut block[..usize::try_from(end - begin).unwrap_or(BLOCK)];
            piece.file.read_exact_at(block, begin)?;
            for (at, byte) in block.iter().enumerate().rev() {
                // The very last one ends a line, and none begins behind it.
                if *byte == b'\n' && !std::mem::take(&mut at_end) {
                    lines += 1;
                    if lines == wanted {
                        return Ok(Start { piece: number, offset: begin + at as u64 + 1, lines });
                    }
                }
                at_end = false;
            }
            end = begin;
        }
    }
    // Where there is a text, its beginning is that of a line.
    let lines = lines + u64::from(!at_end);
    Ok(Start { piece: pieces.len().saturating_sub(1), offset: 0, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces with these texts, the oldest first.
    fn texts(texts: &[&str]) -> Vec<Piece> {
        let piece = |text: &&str| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(text.as_bytes(), 0).unwrap();
            let id = id(&file.metadata().unwrap());
            Piece { file, id }
        };
        texts.iter().rev().map(piece).collect()
    }

    #[test]
    fn the_end_is_found_from_the_end() {
        let long = format!("first\n{}\nlast\n", "x".repeat(3 * BLOCK));
        for (text, wanted, (piece, offset, lines)) in [
            (&["a\nb\nc\n"][..], 2, (0, 2, 2)),
            (&["a\nb\nc"], 2, (0, 2, 2)),
            (&["a\nb\nc\n"], 9, (0, 0, 3)),
            (&["a\nb\nc\n"], 0, (0, 6, 0)),
            // The end of a piece is as good as the beginning of the next.
            (&["a\nb\n", "c\nd\n"], 2, (1, 4, 2)),
            (&["a\nb\n", "c\nd\n"], 3, (1, 2, 3)),
            (&["a\nb\n", "c\nd\n"], 4, (1, 0, 4)),
            // A line that goes on in the next file is one.
            (&["a\nb", "b\nc"], 2, (1, 2, 2)),
            (&["\n\n\n"], 2, (0, 1, 2)),
            (&["a\n", ""], 1, (1, 0, 1)),
            (&[""], 5, (0, 0, 0)),
            (&[], 5, (0, 0, 0)),
            (&[long.as_str()], 2, (0, 6, 2)),
            (&[long.as_str()], 1, (0, 3 * BLOCK as u64 + 7, 1)),
        ] {
            let start = last(&texts(text), wanted).unwrap();
            let expected = Start { piece, offset, lines };
            assert_eq!(start, expected, "{wanted} of {} bytes", text.concat().len());
        }
    }
}
