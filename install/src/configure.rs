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
    /// One would stand below another, through its link.
    #[error("[config] \"{path}\" would stand below \"{through}\", which is a [config] file too")]
    Through {
        /// The lower one.
        path: RelPath,
        /// The link on its way.
        through: RelPath,
    },
    /// The environment is to be built over something else.
    #[error("the Python environment \"{env}\" is where \"{path}\" stands")]
    Environment {
        /// Where it is to be built.
        env: RelPath,
        /// What stands there, or on the way there.
        path: RelPath,
    },
    /// The disk would not.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for ConfigError {
    fn exit(&self) -> Exit {
        match self {
            Self::Clash(_) | Self::Through { .. } | Self::Environment { .. } => Exit::Usage,
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Clash(_) | Self::Through { .. } | Self::Environment { .. } => {
                vec!["the release must be made anew without it".to_owned()]
            }
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
    /// Decides the links of `release`; refuses those that clash with its files, its Python
    /// environment or each other.
    pub fn plan(root: &Root, release: &Descriptor, list: &FileList) -> Result<Self, ConfigError> {
        refuse_environment(release, list)?;
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
            if let Some(through) = release.config.keys().find(|other| below(path, other)) {
                let (path, through) = (path.clone(), through.clone());
                return Err(ConfigError::Through { path, through });
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

/// The environment is built by others' tools, which write where they are told and follow links:
/// nothing may stand there, and only folders on the way.
fn refuse_environment(release: &Descriptor, list: &FileList) -> Result<(), ConfigError> {
    let Some(python) = &release.python else { return Ok(()) };
    let env = &python.env;
    let inside = |path: &RelPath| path == env || below(path, env);
    let listed = list.entries().iter().find(|entry| {
        inside(&entry.path) || (below(env, &entry.path) && entry.kind != Kind::Folder)
    });
    let shown = release.config.keys().find(|path| inside(path) || below(env, path));
    match listed.map(|entry| &entry.path).or(shown) {
        None => Ok(()),
        Some(path) => Err(ConfigError::Environment { env: env.clone(), path: path.clone() }),
    }
}

/// Whether `path` lies below `folder`.
fn below(path: &RelPath, folder: &RelPath) -> bool {
    path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
