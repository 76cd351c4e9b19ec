//! Bringing a release's contents to the node: resumable, never longer than signed, hashed as they
//! come. Where they come from is not trusted.

mod member;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_formats::bundle::{FrameTable, InvalidFrameTable, Layout, WrongFrame, frame_table_len};
use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{self, FileList, InvalidFileList};
use cutover_formats::layout;
use cutover_repository::mirrors::Blame;
use cutover_repository::store::{Read, StoreError};
use sha2::Digest as _;

pub use self::member::member;
use crate::disk::{self, DiskError, DownloadFolder};
use crate::root::Root;

/// Read and written at once.
const CHUNK: usize = 256 * 1024;

/// A bundle on the node whose digest is the signed one.
#[derive(Debug)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes that came over the wire for it; fewer than its size where a download was resumed.
    pub transferred: u64,
}

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
    /// The frame table is not acceptable.
    #[error(transparent)]
    FrameTable(#[from] InvalidFrameTable),
    /// A frame is not the one that was signed.
    #[error(transparent)]
    WrongFrame(#[from] WrongFrame),
    /// A frame does not decode to what the file list says.
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
            | Self::Frame { .. }
            | Self::FileList(_) => true,
            Self::Disk(_) => false,
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
            Self::FrameTable(InvalidFrameTable::Format(error)) => error.hints(),
            Self::Digest { .. }
            | Self::FrameTable(_)
            | Self::WrongFrame(_)
            | Self::Frame { .. } => {
                vec![
                    "the server or what stands before it sends other files than were released"
                        .to_owned(),
                ]
            }
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

/// Where a node keeps a release's bundle while it comes, and until it is unpacked.
#[must_use]
pub fn part(root: &Root, release: &Descriptor) -> PathBuf {
    root.downloads().join(format!("{}.part", release.bundle().sha256))
}

/// The release's bundle, in `state/downloads`.
pub fn bundle(
    store: &dyn Read,
    root: &Root,
    release: &Descriptor,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Fetched, FetchError> {
    let destination = Destination { part: part(root, release), folder: DownloadFolder::Node };
    bundle_to(destination, store, release, progress)
}

/// Where a bundle goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The file.
    pub part: PathBuf,
    /// Whose folder it lies in.
    pub folder: DownloadFolder,
}

/// The release's bundle, in the file `destination.part`. What an earlier try left there is used as far as it
/// goes, and hashed again; if the whole is then not what was signed, it is fetched once more from
/// the start.
pub fn bundle_to(
    destination: Destination,
    store: &dyn Read,
    release: &Descriptor,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Fetched, FetchError> {
    let Destination { part, folder } = destination;
    let bundle = release.bundle();
    let from = layout::stored_bundle(&release.product, &release.version, bundle);
    let (size, sha256) = (bundle.size, bundle.sha256);
    let download = Download { store, from, size, sha256, part, folder, progress };
    let resumed = download.part.exists();
    let transferred = match download.run() {
        Err(FetchError::Digest { .. }) if resumed => download.run()?,
        outcome => outcome?,
    };
    Ok(Fetched { path: download.part, transferred })
}

struct Download<'a> {
    store: &'a dyn Read,
    from: String,
    size: u64,
    sha256: Digest,
    part: PathBuf,
    folder: DownloadFolder,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Download<'_> {
    /// Bytes that were transferred. A part that is not what was signed is removed.
    fn run(&self) -> Result<u64, FetchError> {
        let mut file = disk::open_download(&self.part, self.folder)?;
        let mut hasher = sha2::Sha256::new();
        let present = self.take_in(&mut file, &mut hasher)?;
        let transferred = self.transfer(present, &mut file, &mut hasher)?;
        let found = Digest::from(<[u8; 32]>::from(hasher.finalize()));
        if found == self.sha256 {
            return Ok(transferred);
        }
        disk::remove_file(&self.part)?;
        Err(FetchError::Digest { what: self.from.clone(), found, expected: self.sha256 })
    }

    /// Hashes what an earlier try left behind; its length.
    fn take_in(&self, file: &mut File, hasher: &mut sha2::Sha256) -> Result<u64, FetchError> {
        let failed = |error| DiskError::new("read", &self.part, error);
        let length = file.metadata().map_err(failed)?.len();
        if length > self.size {
            file.set_len(0).map_err(failed)?;
            return Ok(0);
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            (self.progress)(count as u64);
        }
        Ok(file.stream_position().map_err(failed)?)
    }

    fn transfer(
        &self,
        present: u64,
        file: &mut File,
        hasher: &mut sha2::Sha256,
    ) -> Result<u64, FetchError> {
        let wanted = self.size - present;
        if wanted == 0 {
            return Ok(0);
        }
        let mut stream = self.store.stream(&self.from, present, wanted)?;
        let mut buffer = vec![0; CHUNK];
        let mut got = 0;
        while got < wanted {
            let count = stream
                .read(&mut buffer)
                .map_err(|error| StoreError::from_stream(&self.from, error))?;
            if count == 0 {
                let (got, expected) = (present + got, self.size);
                return Err(FetchError::Short { what: self.from.clone(), got, expected });
            }
            file.write_all(&buffer[..count])
                .map_err(|error| DiskError::new("write", &self.part, error))?;
            hasher.update(&buffer[..count]);
            (self.progress)(count as u64);
            got += count as u64;
        }
        Ok(got)
    }
}

/// Removes what downloads left behind, whole or in part.
pub fn forget(root: &Root, keep: Option<&Path>) -> Result<(), DiskError> {
    let folder = root.downloads();
    let failed = |error| DiskError::new("read", &folder, error);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if Some(path.as_path()) != keep {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}
