//! A whole bundle, for people who want the file.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use cutover_formats::bundle::FrameTable;
use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_repository::mirrors::Mirrors;
use sha2::{Digest as _, Sha256};

use super::{Download, FetchError, FrameSource as _, LocalBundle};
use crate::disk::{self, DiskError};

/// The release's bundle, in the file `part`, each frame verified as it comes; the bytes that came over the
/// wire. Frames that an earlier try left there are verified again, and stay as far as they are right.
/// `progress` is called with bytes of the bundle.
///
/// # Errors
/// Where nobody gives what was signed, or the disk would not take it.
pub fn bundle(
    part: &Path,
    mirrors: &Mirrors<'_>,
    release: &Descriptor,
    table: &FrameTable,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, FetchError> {
    let transferred = AtomicU64::new(0);
    match write(part, mirrors, release, table, progress, &transferred) {
        Err(error @ (FetchError::WrongFrame(_) | FetchError::Digest { .. })) => {
            disk::remove_file(part)?;
            Err(error)
        }
        written => written.map(|()| transferred.into_inner()),
    }
}

fn write(
    part: &Path,
    mirrors: &Mirrors<'_>,
    release: &Descriptor,
    table: &FrameTable,
    progress: &(dyn Fn(u64) + Sync),
    transferred: &AtomicU64,
) -> Result<(), FetchError> {
    let mut file = disk::open_download(part)?;
    let failed = |error| DiskError::new("write", part, error);
    let (mut hash, mut packed, count) = (Sha256::new(), Vec::new(), table.frames().len() as u64);
    let (mut next, mut length) = (0, 0);
    let mut present = LocalBundle::new(&file, part, table);
    while next < count && present.frame(next, &mut packed).is_ok() {
        hash.update(&packed);
        progress(packed.len() as u64);
        (next, length) = (next + 1, length + packed.len() as u64);
    }
    file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length))).map_err(failed)?;
    let rest = next..count;
    let mut download = Download::new(mirrors, release, table, vec![rest.clone()], transferred);
    for number in rest {
        download.frame(number, &mut packed)?;
        hash.update(&packed);
        file.write_all(&packed).map_err(failed)?;
        progress(packed.len() as u64);
    }
    // What ends the bundle follows from the frames.
    let end = table.seek_table();
    hash.update(&end);
    file.write_all(&end).map_err(failed)?;
    let (found, expected) =
        (Digest::from(<[u8; 32]>::from(hash.finalize())), release.bundle().sha256);
    if found == expected {
        return Ok(());
    }
    let what = release.bundle().file.to_string();
    Err(FetchError::Digest { what, found, expected })
}
