//! What an install that was cut off left in its prefix. Nothing of it is believed: names, kinds, owners,
//! sizes and links are looked at, and every file is hashed again.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::filelist::{Entry, FileList, Kind};
use cutover_formats::path::RelPath;
use rustix::fs::FileType;

use crate::audit::{hash, in_parallel, walk};
use crate::disk::{self, DiskError, Folder, file_type};

/// A prefix that is not whole.
#[derive(Clone, Debug, Default)]
pub struct Leftover {
    /// For each entry of the list, whether it stands there; empty where nothing does.
    pub kept: Vec<bool>,
    /// What does not belong there, or is not what it should be.
    stray: Vec<PathBuf>,
}

/// What stands at a path of the list.
enum Found {
    /// What should.
    Right,
    /// A file that may be the right one.
    Unread(usize),
    Wrong,
}

impl Leftover {
    /// Looks at `prefix`, where there may be nothing.
    ///
    /// # Errors
    /// Where the disk cannot be read.
    pub fn look(list: &FileList, prefix: &Path) -> Result<Self, DiskError> {
        let is_ours = |found: std::fs::Metadata| {
            found.is_dir() && found.uid() == own_user() && found.mode() & 0o022 == 0
        };
        if !std::fs::symlink_metadata(prefix).is_ok_and(is_ours) {
            return Ok(Self::default());
        }
        let folder = Folder::open(prefix)?;
        let mut kept = vec![false; list.entries().len()];
        let (mut stray, mut unread) = (Vec::new(), Vec::new());
        walk(&folder, None, &mut |path, kind| {
            let found = match index(list, path) {
                None => Found::Wrong,
                Some((index, entry)) => {
                    let found = standing(&folder, list.time(), index, entry)?;
                    kept[index] = matches!(found, Found::Right);
                    found
                }
            };
            match found {
                Found::Right => {}
                Found::Unread(index) => unread.push(index),
                Found::Wrong => stray.push(path.to_owned()),
            }
            Ok(kind == FileType::Directory && !matches!(found, Found::Wrong))
        })?;
        let right = in_parallel(&unread, |index| Ok(is_right(&folder, &list.entries()[*index])))?;
        for (index, right) in unread.into_iter().zip(right) {
            kept[index] = right;
            if !right {
                stray.push(list.entries()[index].path.as_path().to_owned());
            }
        }
        Ok(Self { kept, stray })
    }

    /// Whether this entry of the list stands there.
    #[must_use]
    pub fn keeps(&self, index: usize) -> bool {
        self.kept.get(index).copied().unwrap_or_default()
    }

    /// Whether there is anything to be kept.
    fn is_of_use(&self) -> bool {
        self.kept.contains(&true)
    }

    /// Holds the prefix, with nothing in it but what is kept, in the modes that it should have.
    pub(super) fn clear(&self, prefix: &Path) -> Result<Folder, DiskError> {
        if !self.is_of_use() {
            disk::remove_tree(prefix)?;
            return Folder::create(prefix);
        }
        for path in &self.stray {
            disk::remove_tree(&prefix.join(path))?;
        }
        Folder::reopen(prefix)
    }
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn index<'a>(list: &'a FileList, path: &Path) -> Option<(usize, &'a Entry)> {
    let path: RelPath = path.to_str()?.parse().ok()?;
    let index = list.entries().binary_search_by(|entry| entry.path.cmp(&path)).ok()?;
    Some((index, &list.entries()[index]))
}

/// Without reading contents. What was not finished has no modification time yet. What somebody else owns, could write to or has by another name is not kept.
fn standing(folder: &Folder, time: u64, index: usize, entry: &Entry) -> Result<Found, DiskError> {
    let Some(stat) = folder.look(&entry.path)? else { return Ok(Found::Wrong) };
    let (mode, is_ours) = (stat.st_mode & 0o5777, stat.st_uid == own_user());
    Ok(match (&entry.kind, file_type(&stat)) {
        (Kind::Folder, FileType::Directory) if is_ours && mode == 0o755 => Found::Right,
        (Kind::Link { target }, FileType::Symlink) => {
            let is_right = folder.read_link(&entry.path)? == target.as_bytes();
            if is_right { Found::Right } else { Found::Wrong }
        }
        (Kind::File { size, .. }, FileType::RegularFile)
            if is_ours
                && stat.st_nlink == 1
                && mode == entry.member().shape.mode()
                && u64::try_from(stat.st_size) == Ok(*size)
                && u64::try_from(stat.st_mtime) == Ok(time) =>
        {
            Found::Unread(index)
        }
        _ => Found::Wrong,
    })
}

/// One that cannot be read is none.
fn is_right(folder: &Folder, entry: &Entry) -> bool {
    let Kind::File { sha256, .. } = entry.kind else { return false };
    let file = folder.open_file(&entry.path).ok();
    file.and_then(|file| hash(file).ok()).is_some_and(|found| found == sha256)
}
