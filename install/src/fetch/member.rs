//! One file of a release, without the rest: where it lies in the bundle follows from the file list,
//! and where those frames lie in the bundle from its frame table. Each frame is held to its digest before it is decoded.

use std::io::Read as _;
use std::ops::Range;

use cutover_formats::bundle::{FRAME, FrameTable, Layout};
use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{FileList, Kind};
use cutover_formats::layout;
use cutover_formats::path::RelPath;
use cutover_repository::store::{Read, StoreError};

use super::{FetchError, frame_table};

/// The contents of a regular file of the release; `None` where the list has no such file, or one
/// that is larger than `most` bytes.
pub fn member(
    store: &dyn Read,
    release: &Descriptor,
    list: &FileList,
    path: &RelPath,
    most: u64,
) -> Result<Option<Vec<u8>>, FetchError> {
    let entries = list.entries();
    let Ok(index) = entries.binary_search_by(|entry| entry.path.cmp(path)) else {
        return Ok(None);
    };
    let (size, expected) = match entries[index].kind {
        Kind::File { size, sha256, .. } if size <= most => (size, sha256),
        _ => return Ok(None),
    };
    let layout = Layout::new(list);
    let bytes = if size == 0 {
        Vec::new()
    } else {
        let path = layout::stored_bundle(&release.product, &release.version, release.bundle());
        let (table, _) = frame_table(store, release, &layout)?;
        Bundle { store, path, table }.read(layout.contents(index))?
    };
    match Digest::of(&bytes) {
        found if found == expected => Ok(Some(bytes)),
        found => Err(FetchError::Digest { what: path.to_string(), found, expected }),
    }
}

/// A bundle that stays where it is.
struct Bundle<'a> {
    store: &'a dyn Read,
    path: String,
    table: FrameTable,
}

impl Bundle<'_> {
    /// What the tar holds in `range`, which is not empty.
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, FetchError> {
        let mut tar = Vec::new();
        let first = range.start / FRAME;
        for number in first..=(range.end - 1) / FRAME {
            tar.extend(self.frame(number)?);
        }
        let at = |place: u64| (place - first * FRAME) as usize;
        Ok(tar[at(range.start)..at(range.end)].to_vec())
    }

    /// Decoded into a buffer of its size: there are no more bytes than the layout asks for.
    fn frame(&self, number: u64) -> Result<Vec<u8>, FetchError> {
        let frame = self.table.frames()[number as usize];
        let packed = self.bytes(frame.at, u64::from(frame.compressed))?;
        self.table.verify(number, &packed)?;
        let size = frame.decompressed as usize;
        match zstd::bulk::decompress(&packed, size) {
            Ok(tar) if tar.len() == size => Ok(tar),
            _ => Err(FetchError::Frame { frame: number }),
        }
    }

    fn bytes(&self, from: u64, len: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        let stream = self.store.stream(&self.path, from, len)?;
        stream
            .take(len)
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::from_stream(&self.path, error))?;
        match bytes.len() as u64 {
            got if got == len => Ok(bytes),
            got => {
                let (got, expected) = (from + got, from + len);
                Err(FetchError::Short { what: self.path.clone(), got, expected })
            }
        }
    }
}
