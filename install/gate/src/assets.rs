//! Static files of the releases on this node, served by the gate under paths with their version.
//!
//! Only what a signed file list has as a regular file is served: a request's path is looked up
//! among those, never walked. The file is then opened below the prefix without following any link.
//! Reading happens on threads that may block, so that a slow disk stops no other request.

mod file;
mod kind;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cutover_formats::descriptor::{Descriptor, InvalidDescriptor};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{FileList, InvalidFileList, Kind};
use cutover_formats::path::RelPath;
use cutover_formats::version::Version;
use cutover_node::disk::{DiskError, Folder};
use cutover_node::root::Root;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;

/// The assets of all releases.
#[derive(Debug, Default)]
pub(super) struct Assets {
    /// Replaced as a whole.
    pub(super) shelves: Arc<ArcSwap<Shelves>>,
}

/// The assets of each release that has any.
pub(super) type Shelves = Vec<Arc<Shelf>>;

/// The assets of one release.
#[derive(Debug)]
pub(super) struct Shelf {
    version: Version,
    label: HeaderValue,
    /// What their paths begin with, e.g. `/assets/1.0.0/`.
    at: String,
    prefix: Folder,
    /// Tells a prefix from a later one in its place.
    made: (u64, u64),
    /// By path below `at`.
    items: HashMap<String, Item>,
}

/// One file.
#[derive(Clone, Debug)]
struct Item {
    path: RelPath,
    size: u64,
    sha256: Digest,
}

/// What a request's path means.
#[derive(Debug)]
pub(super) enum Found {
    /// A file of this shelf.
    Here(Arc<Shelf>, String),
    /// It lies on a shelf, which has no such file.
    Missing,
}

/// A release whose assets cannot be served.
#[derive(Debug, thiserror::Error)]
enum ShelfError {
    #[error("{}: {why}", path.display())]
    Io { path: PathBuf, why: io::Error },
    #[error(transparent)]
    Descriptor(#[from] InvalidDescriptor),
    #[error(transparent)]
    FileList(#[from] InvalidFileList),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Assets {
    /// Looks which releases there are now. A release that cannot be read has no assets; that is
    /// logged, and no reason not to serve.
    pub(super) fn restock(&self, root: &Root) {
        let before = self.shelves.load();
        let mut shelves = Vec::new();
        for version in versions(root) {
            let known = before.iter().find(|shelf| shelf.version == version && shelf.stands(root));
            match known.map_or_else(|| Shelf::new(root, &version), |known| Ok(Some(known.clone())))
            {
                Ok(shelf) => shelves.extend(shelf),
                Err(error) => tracing::warn!(%version, %error, "its assets are not served"),
            }
        }
        self.shelves.store(Arc::new(shelves));
    }
}

/// What `path`, as it stands in a request, means to `shelves`; `None` where it is the service's.
pub(super) fn find(shelves: &[Arc<Shelf>], path: &str) -> Option<Found> {
    if shelves.is_empty() {
        return None;
    }
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let (shelf, name) =
        shelves.iter().find_map(|shelf| Some((shelf, path.strip_prefix(&shelf.at)?)))?;
    Some(match shelf.items.contains_key(name) {
        true => Found::Here(shelf.clone(), name.to_owned()),
        false => Found::Missing,
    })
}

fn versions(root: &Root) -> Vec<Version> {
    let Ok(entries) = fs::read_dir(root.records()) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let versions = names.filter_map(|name| name.parse().ok());
    versions.filter(|version| root.seal(version).is_file()).collect()
}

/// The device and the number of a release's prefix.
fn identity(root: &Root, version: &Version) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(root.prefix(version)).map(|found| (found.dev(), found.ino()))
}

impl Shelf {
    fn new(root: &Root, version: &Version) -> Result<Option<Arc<Self>>, ShelfError> {
        let read = |path: PathBuf| fs::read(&path).map_err(|why| ShelfError::Io { path, why });
        let descriptor = Descriptor::parse(&read(root.descriptor(version))?)?;
        let Some(assets) = &descriptor.assets else { return Ok(None) };
        let list = FileList::parse(&read(root.file_list(version))?, &descriptor.expected_files())?;
        let prefix = root.prefix(version);
        let failed = |why| ShelfError::Io { path: prefix.clone(), why };
        let below = format!("{}/", assets.folder);
        let items = list.entries().iter().filter_map(|entry| {
            let name = entry.path.as_str().strip_prefix(&below)?;
            let Kind::File { size, sha256, .. } = entry.kind else { return None };
            Some((name.to_owned(), Item { path: entry.path.clone(), size, sha256 }))
        });
        Ok(Some(Arc::new(Self {
            version: version.clone(),
            // A semantic version is printable ASCII.
            label: HeaderValue::try_from(version.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            at: assets.path.of(version),
            made: identity(root, version).map_err(failed)?,
            prefix: Folder::open(&prefix)?,
            items: items.collect(),
        })))
    }

    /// Whether the prefix that it was made for is still there.
    fn stands(&self, root: &Root) -> bool {
        identity(root, &self.version).is_ok_and(|now| now == self.made)
    }
}
