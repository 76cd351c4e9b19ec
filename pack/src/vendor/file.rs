//! `[[vendor.file]]`: any file, locked by digest.

use std::fs::File;
use std::io::{Read, Write as _};

use cutover_formats::descriptor::Vendored;
use cutover_formats::digest::Digest;
use cutover_formats::release_toml::VendorFile;
use cutover_repository::location::{Location, open_read};
use cutover_repository::store::StoreError;
use cutover_terminal::{Output, Progress};
use percent_encoding::percent_decode_str;
use sha2::Digest as _;

use super::cache::{Cache, Cached, io_at};
use super::{Fetched, VendorError};

/// The folder of the vendor area for files.
const KIND: &str = "file";

/// Most bytes a file may have: what is fetched is not known to end otherwise.
const LARGEST: u64 = 64 << 30;

/// The file from the cache, or from its address into the cache.
pub(super) fn fetch(
    wanted: &VendorFile,
    cache: &Cache,
    output: &Output,
) -> Result<Fetched, VendorError> {
    let cached = match cache.find(wanted.sha256)? {
        Some(cached) => cached,
        None => {
            output.note(format!("fetching {}", wanted.url));
            download(wanted, cache)?
        }
    };
    let name = wanted.path.file_name().to_owned();
    let record = Vendored {
        kind: KIND.to_owned(),
        name: name.clone(),
        version: None,
        file: name,
        path: wanted.path.clone(),
        sha256: wanted.sha256,
        size: cached.size,
    };
    Ok(Fetched { record, file: cached.path })
}

fn download(wanted: &VendorFile, cache: &Cache) -> Result<Cached, VendorError> {
    let url = wanted.url.as_str();
    // The address has a path: without one it names no file, and `release.toml` was refused.
    let (base, name) = url.rsplit_once('/').unwrap_or((url, ""));
    let location: Location = base.parse()?;
    // A server is asked for the name as it is written; a folder has it as it is meant.
    let name = match location {
        Location::Folder(_) => percent_decode_str(name).decode_utf8_lossy(),
        Location::Http(_) => name.into(),
    };
    let store = open_read(&location)?;
    let folder = cache.incoming()?;
    let place = folder.path().join("file");
    let mut body = store.stream(&name, 0, LARGEST)?;
    let mut file = File::create(&place).map_err(io_at(&place))?;
    let progress = Progress::counting(wanted.path.file_name());
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = body.read(&mut buffer);
        let read = read.map_err(|error| StoreError::from_stream(&wanted.url.to_string(), error))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(io_at(&place))?;
        progress.add(read as u64);
    }
    let found: [u8; 32] = hasher.finalize().into();
    let found = Digest::from(found);
    if found != wanted.sha256 {
        let url = wanted.url.to_string();
        return Err(VendorError::OtherFile { url, found, expected: wanted.sha256 });
    }
    cache.keep(&place, found)?;
    cache.find(found)?.ok_or_else(|| io_at(&place)(std::io::ErrorKind::NotFound.into()))
}
