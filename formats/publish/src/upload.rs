//! Uploading targets: files that nobody looks at until signed metadata names them.

use std::io::Read as _;
use std::path::PathBuf;

use cutover_formats::digest::Digest;
use cutover_repository::store::{Body, Created, StoreError};
use cutover_terminal::Progress;
use sha2::Digest as _;

use super::{PublishError, Repo};

/// A file to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Where it goes, relative to the repository, with its digest before its name.
    pub path: String,
    /// Where it is now.
    pub file: PathBuf,
    /// Its length, bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// Uploads what is not there yet; how many bytes that were.
pub(super) fn files(repo: &Repo<'_>, uploads: &[Upload]) -> Result<u64, PublishError> {
    let total = uploads.iter().map(|upload| upload.size).sum();
    let progress = Progress::bytes("uploading", total);
    let mut uploaded = 0;
    for upload in uploads {
        match repo.store.create(&upload.path, Body::File(&upload.file))? {
            Created::New => uploaded += upload.size,
            Created::Exists => same(repo, &upload.path, upload.size, upload.sha256)?,
        }
        progress.add(upload.size);
    }
    progress.finish();
    Ok(uploaded)
}

/// Uploads a small file.
pub(super) fn bytes(repo: &Repo<'_>, path: &str, bytes: &[u8]) -> Result<(), PublishError> {
    match repo.store.create(path, Body::Bytes(bytes))? {
        Created::New => Ok(()),
        Created::Exists => same(repo, path, bytes.len() as u64, Digest::of(bytes)),
    }
}

/// Makes sure that a file which was there before is what its name says, by reading it.
///
/// Distributions in the vendor area are shared by many releases and are not read again for each:
/// no installer fetches them from there without checking.
fn same(repo: &Repo<'_>, path: &str, size: u64, sha256: Digest) -> Result<(), PublishError> {
    if path.starts_with("targets/vendor/") {
        return Ok(());
    }
    let mut stream = repo.store.stream(path, 0, size.saturating_add(1))?;
    let (mut hasher, mut length) = (sha2::Sha256::new(), 0);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = stream.read(&mut buffer);
        let count = read.map_err(|error| StoreError::from_stream(path, error))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        length += count as u64;
    }
    let found = Digest::from(<[u8; 32]>::from(hasher.finalize()));
    if (length, found) == (size, sha256) {
        return Ok(());
    }
    Err(PublishError::Differs { path: path.to_owned() })
}
