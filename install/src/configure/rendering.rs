//! What was rendered for a release, outside its prefix.
//!
//! Each rendering is a folder of its own, written whole and brought to disk before a link is
//! renamed to it; so all files of a release change at once, or none. What was there before goes
//! afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cutover_formats::digest::Digest;
use cutover_formats::path::RelPath;
use cutover_formats::version::Version;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::render::{Access, Rendered};
use crate::audit::{Finding, Problem};
use crate::disk::{self, DiskError, Folder, Permissions};
use crate::root::Root;

pub use crate::node::rendering as number;

/// What a rendering came to. It holds digests of secret files, so only the node itself may read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Each file, by its path in the prefix.
    pub files: BTreeMap<RelPath, Standing>,
}

/// A file as it was rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Permission bits.
    mode: u32,
    /// The group that may read it, where that is given to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
    /// Of the whole text.
    sha256: Digest,
    /// The text with a stand-in for each secret.
    pub masked: String,
}

/// Whether anything had to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What was there is what was rendered.
    AsItWas,
    /// It is there now.
    Written,
}

impl Record {
    /// What `rendered` comes to.
    #[must_use]
    pub fn of(rendered: &[Rendered]) -> Self {
        let standing = |file: &Rendered| Standing {
            mode: permissions(file.access).bits(),
            group: match file.access {
                Access::Group(group) => Some(group),
                Access::Everybody | Access::Owner => None,
            },
            sha256: Digest::of(file.text.reveal().as_bytes()),
            masked: file.masked.clone(),
        };
        Self { files: rendered.iter().map(|file| (file.path.clone(), standing(file))).collect() }
    }

    /// What was rendered for `version`; nothing where nothing was.
    pub fn load(root: &Root, version: &Version) -> Result<Self, DiskError> {
        Ok(disk::read_json(&record_of(&root.rendering(version)))?.unwrap_or_default())
    }

    /// The paths that another rendering gives other contents.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<RelPath> {
        let all = self
            .files
            .keys()
            .chain(other.files.keys().filter(|path| !self.files.contains_key(*path)));
        all.filter(|path| self.files.get(*path) != other.files.get(*path)).cloned().collect()
    }

    /// Every file that is not as it was rendered.
    pub fn audit(&self, root: &Root, version: &Version) -> Result<Vec<Finding>, DiskError> {
        if self.files.is_empty() {
            return Ok(Vec::new());
        }
        let Some(folder) = held(root, version)? else {
            let missing = |path: &RelPath| Finding {
                path: path.as_path().to_owned(),
                problem: Problem::Missing,
            };
            return Ok(self.files.keys().map(missing).collect());
        };
        let mut findings = Vec::new();
        for (path, standing) in &self.files {
            if let Some(problem) = standing.problem(&folder, path)? {
                findings.push(Finding { path: path.as_path().to_owned(), problem });
            }
        }
        Ok(findings)
    }
}

impl Standing {
    fn problem(&self, folder: &Folder, path: &RelPath) -> Result<Option<Problem>, DiskError> {
        let Some(found) = folder.look(path)? else { return Ok(Some(Problem::Missing)) };
        if disk::file_type(&found) != FileType::RegularFile {
            let (expected, found) = ("a file", "something else");
            return Ok(Some(Problem::WrongKind { expected, found }));
        }
        if found.st_mode & 0o7777 != self.mode {
            let (expected, found) = (self.mode, found.st_mode & 0o7777);
            return Ok(Some(Problem::WrongMode { expected, found }));
        }
        let full = folder.path().join(path.as_path());
        let text = io::read_to_string(folder.open_file(path)?);
        let same = match text {
            Ok(text) => Digest::of(text.as_bytes()) == self.sha256,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => false,
            Err(error) => return Err(DiskError::new("read", &full, error)),
        };
        Ok((!same).then_some(Problem::Edited))
    }
}

fn permissions(access: Access) -> Permissions {
    match access {
        Access::Everybody => Permissions::Plain,
        Access::Owner => Permissions::Private,
        Access::Group(_) => Permissions::Shared,
    }
}

fn record_of(rendering: &Path) -> PathBuf {
    rendering.join("record.json")
}

/// The files of the rendering that holds.
fn held(root: &Root, version: &Version) -> Result<Option<Folder>, DiskError> {
    match Folder::open(&root.rendered(version)) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
        folder => folder.map(Some),
    }
}

/// Sees that what the prefix of `version` links to is `rendered`.
pub fn keep(root: &Root, version: &Version, rendered: &[Rendered]) -> Result<Kept, DiskError> {
    let record = Record::of(rendered);
    let standing = Record::load(root, version)?;
    if standing == record && standing.audit(root, version)?.is_empty() {
        sweep(root, version)?;
        return Ok(Kept::AsItWas);
    }
    let number = after(number(root, version)?);
    lay(root, version, number, rendered)?;
    point(root, version, Some(number))?;
    sweep(root, version)?;
    Ok(Kept::Written)
}

/// The number of the rendering that comes after another.
#[must_use]
pub fn after(number: Option<u64>) -> u64 {
    number.map_or(0, |number| number.wrapping_add(1))
}

/// Writes `rendered` beside what holds, as the rendering of that number. Everything is on disk when
/// this returns, and nothing leads there yet.
pub fn lay(
    root: &Root,
    version: &Version,
    number: u64,
    rendered: &[Rendered],
) -> Result<(), DiskError> {
    let place = root.config(version);
    disk::ensure_open_folder(&place)?;
    write(&place.join(number.to_string()), rendered, &Record::of(rendered))
}

/// Makes the rendering of that number the one that holds, or none, durably.
pub fn point(root: &Root, version: &Version, number: Option<u64>) -> Result<(), DiskError> {
    let link = root.rendering(version);
    match number {
        Some(number) => disk::write_link(&link, Path::new(&number.to_string())),
        None if link.is_symlink() => {
            disk::remove_file(&link)?;
            disk::sync_folder(&root.config(version))
        }
        None => Ok(()),
    }
}

/// Everything is on disk when this returns.
fn write(place: &Path, rendered: &[Rendered], record: &Record) -> Result<(), DiskError> {
    // What a crash may have left there.
    disk::remove_tree(place)?;
    drop(Folder::create(place)?);
    let files = Folder::create(&place.join("files"))?;
    for file in rendered {
        for (end, _) in file.path.as_str().match_indices('/') {
            if let Ok(above) = file.path.as_str()[..end].parse()
                && files.look(&above)?.is_none()
            {
                files.create_folder(&above)?;
            }
        }
        let mut new = files.create_file(&file.path, permissions(file.access))?;
        let failed = |error| DiskError::new("write", &place.join(file.path.as_path()), error);
        if let Access::Group(group) = file.access {
            std::os::unix::fs::fchown(&new, None, Some(group)).map_err(failed)?;
        }
        new.write_all(file.text.reveal().as_bytes()).map_err(failed)?;
    }
    let json = serde_json::to_vec_pretty(record).map_err(io::Error::from);
    let json = json.map_err(|error| DiskError::new("write", &record_of(place), error))?;
    disk::write_file(&record_of(place), &json, Permissions::Private)?;
    files.sync_file_system()
}

/// Removes what is not held: earlier renderings, and what a crash left of later ones.
pub fn sweep(root: &Root, version: &Version) -> Result<(), DiskError> {
    let place = root.config(version);
    let Some(holds) = number(root, version)?.map(|number| number.to_string()) else {
        return disk::remove_tree(&place);
    };
    let entries = match fs::read_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| DiskError::new("read", &place, error))?,
    };
    for entry in entries {
        let name = entry.map_err(|error| DiskError::new("read", &place, error))?.file_name();
        let is = |wanted: &str| name.to_str() == Some(wanted);
        if !is("current") && !is(&holds) {
            disk::remove_tree(&place.join(name))?;
        }
    }
    Ok(())
}
