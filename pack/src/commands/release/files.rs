//! The files of a release, as they are uploaded and signed.

use std::io::Write as _;

use cutover_formats::checksums;
use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::filelist;
use cutover_formats::layout;
use cutover_formats::path::FileName;
use cutover_pack::bundle::WrittenBundle;
use cutover_publish::{Contents, Minisigned, ReleaseFiles, Repo, Upload};
use cutover_repository::store::StoreError;
use cutover_terminal::Failure;
use tempfile::NamedTempFile;

use crate::vendor::Fetched;

/// A bundle, and where it lies.
pub(super) struct Bundle {
    pub(super) file: NamedTempFile,
    pub(super) written: WrittenBundle,
}

/// What hangs off the descriptor beside the bundle, as it is published.
pub(super) struct Tables {
    /// The file list, compressed.
    pub(super) list: Vec<u8>,
    /// Digest of the list before it was compressed.
    pub(super) list_text_sha256: Digest,
    /// The frame table.
    pub(super) frames: Vec<u8>,
}

impl Tables {
    pub(super) fn of(written: &WrittenBundle) -> Self {
        let text = written.list.to_json();
        Self {
            list: filelist::compress(&text),
            list_text_sha256: Digest::of(&text),
            frames: written.frames.to_bytes(),
        }
    }
}

/// What a release puts into the repository.
pub(super) struct Files {
    pub(super) release: ReleaseFiles,
    /// They go with this.
    _temporary: [NamedTempFile; 4],
}

impl Files {
    /// The files of the release that `descriptor` describes.
    pub(super) fn new(
        repo: &Repo<'_>,
        descriptor: &Descriptor,
        Bundle { file, written }: Bundle,
        tables: &Tables,
        fetched: &[Fetched],
    ) -> Result<Self, Failure> {
        let (product, version) = (&descriptor.product, &descriptor.version);
        let bytes = descriptor.to_bytes();
        let sums = checksums::of(descriptor, Digest::of(&bytes));
        let path = layout::stored_file_list(product, version, &descriptor.files);
        let (list, list_file) = small(repo, path, &tables.list)?;
        let path = layout::stored_frame_table(product, version, descriptor.bundle().frames);
        let (frames, frames_file) = small(repo, path, &tables.frames)?;
        let path = layout::stored_checksums(product, version, Digest::of(sums.as_bytes()));
        let (sums_upload, sums_file) = small(repo, path, sums.as_bytes())?;
        let bundle = Upload {
            path: layout::stored_bundle(product, version, descriptor.bundle()),
            file: file.path().to_owned(),
            size: written.size,
            sha256: written.sha256,
        };
        let minisigned = |upload: &Upload, contents, name: &FileName| Minisigned {
            stored: upload.path.clone(),
            contents,
            comment: format!("{product} {version}: {name}"),
        };
        let name = descriptor.bundle().file;
        let release = ReleaseFiles {
            product: product.clone(),
            version: version.clone(),
            descriptor: bytes,
            bundle: (layout::release_file(product, version, name), bundle.size, bundle.sha256),
            minisigned: vec![
                minisigned(&bundle, Contents::Blake2b(Box::new(written.blake2b)), name),
                minisigned(
                    &sums_upload,
                    Contents::Whole(sums.into_bytes()),
                    &layout::checksums_name(),
                ),
            ],
            uploads: [bundle, frames, list, sums_upload]
                .into_iter()
                .chain(vendor_area(fetched))
                .collect(),
        };
        Ok(Self { release, _temporary: [file, frames_file, list_file, sums_file] })
    }
}

/// A file that is held in memory.
fn small(
    repo: &Repo<'_>,
    path: String,
    bytes: &[u8],
) -> Result<(Upload, NamedTempFile), StoreError> {
    let mut file = repo.store.temp_file()?;
    let written = file.write_all(bytes);
    written.map_err(|error| StoreError::from_write(&file.path().display().to_string(), error))?;
    let (size, sha256) = (bytes.len() as u64, Digest::of(bytes));
    Ok((Upload { path, file: file.path().to_owned(), size, sha256 }, file))
}

/// Vendored distributions, each once, as the vendor area has them.
fn vendor_area(fetched: &[Fetched]) -> Vec<Upload> {
    let mut uploads: Vec<Upload> = Vec::new();
    for Fetched { record, file } in fetched {
        let path = layout::stored(&layout::vendored(record), record.sha256);
        if uploads.iter().all(|upload| upload.path != path) {
            let (size, sha256) = (record.size, record.sha256);
            uploads.push(Upload { path, file: file.clone(), size, sha256 });
        }
    }
    uploads
}
