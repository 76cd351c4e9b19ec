//! The node's own files, seen from inside the prefix through symlinks.

use cutover_formats::descriptor::Descriptor;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{FileList, Kind};
use cutover_formats::path::RelPath;

use crate::disk::{DiskError, Folder};
use crate::requires::config_source;
use crate::root::Root;

/// A node's file cannot be shown where the release wants it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The release has something of its own there.
    #[error("[config] \"{0}\" stands where the release has a file or folder of its own")]
    Clash(RelPath),
    /// The disk would not.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for ConfigError {
    fn exit(&self) -> Exit {
        match self {
            Self::Clash(_) => Exit::Usage,
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Clash(_) => vec!["the release must be made anew without it".to_owned()],
            Self::Disk(error) => error.hints(),
        }
    }
}

/// What links to make: folders that the release lacks, then the links.
#[derive(Debug, Default)]
pub struct Links {
    folders: Vec<RelPath>,
    links: Vec<(RelPath, String)>,
}

impl Links {
    /// Decides the links of `release`; refuses those that clash with its files.
    pub fn plan(root: &Root, release: &Descriptor, list: &FileList) -> Result<Self, ConfigError> {
        let mut plan = Self::default();
        for (path, file) in &release.config {
            let entry = |path: &str| {
                let entries = list.entries();
                entries
                    .binary_search_by(|entry| entry.path.as_str().cmp(path))
                    .ok()
                    .map(|index| &entries[index])
            };
            if entry(path.as_str()).is_some() {
                return Err(ConfigError::Clash(path.clone()));
            }
            let ends = path.as_str().match_indices('/').map(|(end, _)| &path.as_str()[..end]);
            for folder in ends {
                match entry(folder).map(|entry| &entry.kind) {
                    Some(Kind::Folder) => {}
                    Some(_) => return Err(ConfigError::Clash(path.clone())),
                    None => plan.folder(folder),
                }
            }
            let source = config_source(root, file).to_string_lossy().into_owned();
            plan.links.push((path.clone(), source));
        }
        Ok(plan)
    }

    fn folder(&mut self, folder: &str) {
        let known = self.folders.iter().any(|known| known.as_str() == folder);
        if let (false, Ok(folder)) = (known, folder.parse()) {
            self.folders.push(folder);
        }
    }

    /// Makes them in `prefix`.
    pub fn make(&self, prefix: &Folder) -> Result<(), DiskError> {
        self.folders.iter().try_for_each(|folder| prefix.create_folder(folder))?;
        self.links.iter().try_for_each(|(path, source)| prefix.create_link(path, source))
    }

    /// What stands in the prefix beside the release's own files.
    #[must_use]
    pub fn paths(&self) -> Vec<RelPath> {
        let links = self.links.iter().map(|(path, _)| path);
        self.folders.iter().chain(links).cloned().collect()
    }
}
