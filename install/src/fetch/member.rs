//! One file of a release, without the rest: where it lies in the bundle follows from the file list,
//! and which frames hold that from the bundle's frame table. What comes is hashed.

use std::ops::Range;
use std::sync::atomic::AtomicU64;

use cutover_formats::bundle::{FRAME, Layout};
use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{FileList, Kind};
use cutover_formats::path::RelPath;
use cutover_repository::mirrors::Mirrors;

use super::{Download, FetchError, FrameSource as _, frame_table};

/// The contents of a regular file of the release; `None` where the list has no such file, or one
/// that is larger than `most` bytes.
pub fn member(
    mirrors: &Mirrors<'_>,
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
    let bytes = match size {
        0 => Vec::new(),
        _ => read(mirrors, release, &layout, layout.contents(index))?,
    };
    match Digest::of(&bytes) {
        found if found == expected => Ok(Some(bytes)),
        found => Err(FetchError::Digest { what: path.to_string(), found, expected }),
    }
}

/// What the tar holds in `range`, which is not empty.
fn read(
    mirrors: &Mirrors<'_>,
    release: &Descriptor,
    layout: &Layout<'_>,
    range: Range<u64>,
) -> Result<Vec<u8>, FetchError> {
    let (table, _) = mirrors.ask(|store| frame_table(store, release, layout))?;
    let run = range.start / FRAME..range.end.div_ceil(FRAME);
    let (first, transferred) = (run.start, AtomicU64::new(0));
    let mut frames = Download::new(mirrors, release, &table, vec![run.clone()], &transferred);
    let (mut packed, mut tar) = (Vec::new(), Vec::new());
    for number in run {
        frames.frame(number, &mut packed)?;
        // Into a buffer of its size: there are no more bytes than the layout asks for.
        let size = table.frames()[number as usize].decompressed as usize;
        match zstd::bulk::decompress(&packed, size) {
            Ok(decoded) if decoded.len() == size => tar.extend(decoded),
            _ => return Err(FetchError::Frame { frame: number }),
        }
    }
    let at = |place: u64| (place - first * FRAME) as usize;
    Ok(tar[at(range.start)..at(range.end)].to_vec())
}
