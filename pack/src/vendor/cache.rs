//! What was fetched before, by digest.
//!
//! ```text
//! files/<sha256>          contents, verified when they were put there and again on each use
//! python/<key>.json       which files a lock came to, by lock and interpreter
//! incoming/               what is on its way in
//! ```
//!
//! Everything appears by rename, so programs that run at the same time share the cache without a
//! lock. It can be deleted at any time.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use cutover_formats::digest::Digest;
use sha2::Digest as _;
use tempfile::{NamedTempFile, TempDir};

use super::error::VendorError;

/// The cache of this user.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// A file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cached {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Bytes.
    pub(super) size: u64,
}

impl Cache {
    /// `$CUTOVER_CACHE`, else `$XDG_CACHE_HOME/cutover`, else `~/.cache/cutover`.
    pub(crate) fn of_user() -> Result<Self, VendorError> {
        let folder =
            |name: &str| env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
        let own = env::var_os("CUTOVER_CACHE").filter(|it| !it.is_empty());
        // A relative one is meant from here, wherever a program that uses it is started.
        let own = own.and_then(|path| std::path::absolute(path).ok());
        let root = own
            .or_else(|| folder("XDG_CACHE_HOME").map(|it| it.join("cutover")))
            .or_else(|| folder("HOME").map(|it| it.join(".cache/cutover")))
            .ok_or(VendorError::NoCache)?;
        Ok(Self::at(root))
    }

    /// The cache in a folder, which is made when something is put there.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where it is, or will be.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file with this digest, if it is there. One that has changed is thrown away.
    pub(super) fn find(&self, digest: Digest) -> Result<Option<Cached>, VendorError> {
        let path = self.file(digest);
        match hash(&path) {
            Ok((found, size)) if found == digest => Ok(Some(Cached { path, size })),
            Ok(_) => fs::remove_file(&path).map(|()| None).map_err(io_at(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at(&path)(error)),
        }
    }

    /// A folder for what is on its way in, on the cache's own file system.
    pub(super) fn incoming(&self) -> Result<TempDir, VendorError> {
        let folder = self.make("incoming")?;
        tempfile::tempdir_in(&folder).map_err(io_at(&folder))
    }

    /// Takes a file over whose digest was just computed.
    pub(super) fn keep(&self, file: &Path, digest: Digest) -> Result<(), VendorError> {
        self.make("files")?;
        let place = self.file(digest);
        fs::rename(file, &place).map_err(io_at(&place))
    }

    /// What was noted under a key, if anything was.
    pub(super) fn note(&self, key: Digest) -> Option<Vec<u8>> {
        fs::read(self.root.join("python").join(format!("{key}.json"))).ok()
    }

    /// Everything that was noted.
    pub(super) fn notes(&self) -> impl Iterator<Item = Vec<u8>> {
        let files = fs::read_dir(self.root.join("python")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read(file.path()).ok())
    }

    /// Notes something under a key.
    pub(super) fn put_note(&self, key: Digest, bytes: &[u8]) -> Result<(), VendorError> {
        let folder = self.make("python")?;
        let place = folder.join(format!("{key}.json"));
        let write = || {
            let mut file = NamedTempFile::new_in(&folder)?;
            file.write_all(bytes)?;
            file.persist(&place).map_err(|error| error.error).map(|_| ())
        };
        write().map_err(io_at(&place))
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.root.join("files").join(digest.to_string())
    }

    fn make(&self, folder: &str) -> Result<PathBuf, VendorError> {
        let folder = self.root.join(folder);
        fs::create_dir_all(&folder).map_err(io_at(&folder))?;
        Ok(folder)
    }
}

/// Digest and size of a file.
pub(super) fn hash(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let digest: [u8; 32] = hasher.finalize().into();
            return Ok((digest.into(), size));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

pub(super) fn io_at(path: &Path) -> impl Fn(io::Error) -> VendorError {
    let path = path.to_owned();
    move |source| VendorError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache"));
        let digest = Digest::of(b"abc");
        assert_eq!(cache.find(digest).unwrap(), None);
        let incoming = cache.incoming().unwrap();
        let file = incoming.path().join("x");
        fs::write(&file, "abc").unwrap();
        cache.keep(&file, digest).unwrap();
        let cached = cache.find(digest).unwrap().unwrap();
        assert_eq!(cached.size, 3);
        fs::write(&cached.path, "abd").unwrap();
        assert_eq!(cache.find(digest).unwrap(), None);
        assert!(!cached.path.exists());
    }

    #[test]
    fn notes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let key = Digest::of(b"");
        assert_eq!(cache.note(key), None);
        cache.put_note(key, b"1").unwrap();
        cache.put_note(key, b"2").unwrap();
        assert_eq!(cache.note(key), Some(b"2".to_vec()));
    }
}
