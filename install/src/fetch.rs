//! Fetching what a release consists of: never longer than signed, hashed before it is used. Where it
//! comes from is not trusted.

mod bundle;
mod frames;
mod member;

use std::time::Duration;

use cutover_formats::bundle::{FrameTable, InvalidFrameTable, Layout, WrongFrame, frame_table_len};
use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{self, FileList, InvalidFileList};
use cutover_formats::layout;
use cutover_repository::mirrors::Blame;
use cutover_repository::store::{Read, StoreError};

pub use self::bundle::bundle;
pub use self::frames::{Download, FrameSource, LocalBundle};
pub use self::member::member;
use crate::disk::{self, DiskError};
use crate::root::Root;

/// The contents could not be had, or are not what was signed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The repository failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Fewer bytes than signed.
    #[error("{what} ends after {got} of {expected} bytes")]
    Short {
        /// The file.
        what: String,
        /// What came.
        got: u64,
        /// What was signed.
        expected: u64,
    },
    /// Other bytes than signed.
    #[error("{what} has sha256 {found}, but {expected} was signed")]
    Digest {
        /// The file.
        what: String,
        /// What came.
        found: Digest,
        /// What was signed.
        expected: Digest,
    },
    /// The frame table is not what was signed, or does not belong to the file list.
    #[error(transparent)]
    FrameTable(#[from] InvalidFrameTable),
    /// A frame is not the one that was signed.
    #[error(transparent)]
    WrongFrame(#[from] WrongFrame),
    /// A frame is what was signed, and does not decode to what the file list asks for.
    #[error("bundle: frame {frame} is corrupt")]
    Frame {
        /// Which one, from 0.
        frame: u64,
    },
    /// The file list is not acceptable.
    #[error(transparent)]
    FileList(#[from] InvalidFileList),
}

impl Blame for FetchError {
    fn is_theirs(&self) -> bool {
        match self {
            Self::Store(_)
            | Self::Short { .. }
            | Self::Digest { .. }
            | Self::FrameTable(_)
            | Self::WrongFrame(_)
            | Self::FileList(_) => true,
            Self::Disk(_) | Self::Frame { .. } => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl Explain for FetchError {
    fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => error.exit(),
            Self::Disk(error) => error.exit(),
            Self::Short { .. } => Exit::Unreachable,
            Self::Digest { .. } | Self::WrongFrame(_) | Self::Frame { .. } => Exit::NotTrusted,
            Self::FrameTable(error) => error.exit(),
            Self::FileList(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.hints(),
            Self::Disk(error) => error.hints(),
            Self::Short { .. } => vec!["the next try goes on where this one ended".to_owned()],
            Self::Digest { .. }
            | Self::WrongFrame(_)
            | Self::FrameTable(InvalidFrameTable::Digest { .. }) => {
                vec![
                    "the server or what stands before it sends other files than were released"
                        .to_owned(),
                ]
            }
            Self::Frame { .. } => {
                vec!["the release itself is broken: it must be released again".to_owned()]
            }
            Self::FrameTable(error) => error.hints(),
            Self::FileList(error) => error.hints(),
        }
    }
}

/// The release's file list, verified, and the exact bytes that were signed.
pub fn file_list(
    store: &dyn Read,
    release: &Descriptor,
) -> Result<(FileList, Vec<u8>), FetchError> {
    let signed = &release.files;
    // The list is held in memory, so a signature alone does not make any size of it right.
    let (found, most) = (signed.size, filelist::LARGEST);
    if found > most {
        return Err(InvalidFileList::TooLarge { what: "compressed bytes", found, most }.into());
    }
    let path = layout::stored_file_list(&release.product, &release.version, signed);
    let bytes = store.get(&path, signed.size)?;
    Ok((parse_file_list(release, &bytes)?, bytes))
}

/// The frame table of the release's bundle, verified, and the exact bytes that were signed; `layout`
/// is that of the release's file list.
pub fn frame_table(
    store: &dyn Read,
    release: &Descriptor,
    layout: &Layout<'_>,
) -> Result<(FrameTable, Vec<u8>), FetchError> {
    let path =
        layout::stored_frame_table(&release.product, &release.version, release.bundle().frames);
    let bytes = store.get(&path, frame_table_len(layout.frames()))?;
    Ok((FrameTable::parse(&bytes, &release.expected_frames(), layout)?, bytes))
}

/// Reads a file list and holds it against its descriptor.
pub fn parse_file_list(release: &Descriptor, bytes: &[u8]) -> Result<FileList, InvalidFileList> {
    FileList::parse(bytes, &release.expected_files())
}

/// The file list of a release on this node, by its record.
pub fn recorded_file_list(root: &Root, release: &Descriptor) -> Result<FileList, FetchError> {
    Ok(parse_file_list(release, &disk::read(&root.file_list(&release.version))?)?)
}
