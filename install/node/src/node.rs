//! The node as it is: its settings, what is installed, what runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cutover_formats::descriptor::{Descriptor, InvalidDescriptor};
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::input::InputName;
use cutover_formats::node_toml::{InvalidNodeToml, NodeToml, Role};
use cutover_formats::version::Version;
use cutover_terminal::quoted;

use crate::disk::DiskError;
use crate::owner::{self, Unsafe};
use crate::root::Root;

/// A node's root with its settings.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its paths.
    pub root: Root,
    /// Its `node.toml`.
    pub settings: NodeToml,
}

/// A node that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The folder holds no `node.toml`.
    #[error("{} is not a node's root: it has no node.toml", .0.display())]
    NotARoot(PathBuf),
    /// It, or its `node.toml`, is somebody else's to write to.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    /// `node.toml` is wrong.
    #[error("{}: {error}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: InvalidNodeToml,
    },
    /// `current` is not a link to a release.
    #[error("{} is {what}, and should be a link to a release below releases/", path.display())]
    Current {
        /// Where it lies.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The folder is a link to one that is not there.
    #[error("{} is a link to {}, which is not there", path.display(), target.display())]
    Dangling {
        /// The root.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// A release that is not on this node.
    #[error("{0} is not on this node")]
    NotHere(Version),
    /// A stored descriptor cannot be read.
    #[error("{}: {error}", path.display())]
    Descriptor {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: InvalidDescriptor,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for NodeError {
    fn exit(&self) -> Exit {
        match self {
            Self::NotARoot(_)
            | Self::Settings { .. }
            | Self::Current { .. }
            | Self::Dangling { .. } => Exit::Usage,
            Self::Unsafe(error) => error.exit(),
            Self::NotHere(_) => Exit::NotFound,
            Self::Descriptor { error, .. } => error.exit(),
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotARoot(root) => vec![
                "name a node's root with --root DIR, or in CUTOVER_ROOT".to_owned(),
                format!(
                    "or make it one with `install init --root {} --repo URL --trust ROOT.json`",
                    quoted(root)
                ),
            ],
            Self::NotHere(_) => vec!["`install list` shows what is".to_owned()],
            Self::Descriptor { error, .. } => error.hints(),
            Self::Disk(error) => error.hints(),
            Self::Settings { error, .. } => {
                let mut hints = error.hints();
                hints.push("nothing was changed; node-toml.md describes every setting".to_owned());
                hints
            }
            Self::Current { path, .. } => vec![format!(
                "nothing was changed; move {} away, then `install VERSION` makes it",
                path.display()
            )],
            Self::Dangling { .. } => {
                vec![
                    "nothing was changed; mount or make what it names, or remove the link"
                        .to_owned(),
                ]
            }
            Self::Unsafe(error) => error.hints(),
        }
    }
}

impl Node {
    /// The node at `path`.
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        let absolute =
            std::path::absolute(path).map_err(|error| DiskError::new("find", path, error))?;
        let root = Root::new(absolute);
        let file = root.node_toml();
        owner::heed(root.path(), &[&file])?;
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                refuse_dangling(root.path())?;
                return Err(NodeError::NotARoot(root.path().to_owned()));
            }
            Err(error) => return Err(DiskError::new("read", &file, error).into()),
        };
        let settings =
            NodeToml::parse(&text).map_err(|error| NodeError::Settings { path: file, error })?;
        Ok(Self { root, settings })
    }

    /// What `current` names.
    pub fn current(&self) -> Result<Option<Version>, NodeError> {
        current(&self.root)
    }

    /// Prefixes that are whole.
    pub fn sealed(&self) -> Result<BTreeSet<Version>, NodeError> {
        let mut versions = self.recorded()?;
        versions.retain(|version| {
            self.root.seal(version).is_file() && self.root.prefix(version).is_dir()
        });
        Ok(versions)
    }

    /// Everything that lies below `releases/` or `state/releases/`, whole or not.
    pub fn recorded(&self) -> Result<BTreeSet<Version>, NodeError> {
        recorded(&self.root)
    }

    /// The descriptor of a release on this node.
    pub fn descriptor(&self, version: &Version) -> Result<Descriptor, NodeError> {
        let path = self.root.descriptor(version);
        match std::fs::read(&path) {
            Ok(bytes) => {
                Descriptor::parse(&bytes).map_err(|error| NodeError::Descriptor { path, error })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(NodeError::NotHere(version.clone()))
            }
            Err(error) => Err(DiskError::new("read", &path, error).into()),
        }
    }

    /// Whether the gate is only the maintenance responder beside a front end.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        self.settings.gate.as_ref().is_some_and(|gate| gate.role == Role::Maintenance)
    }

    /// What the gate serves while `current` names `version`: nothing where that has no service, or
    /// a front end serves.
    pub fn served(&self, version: Option<&Version>) -> Result<Option<Version>, NodeError> {
        match version {
            _ if self.is_beside() => Ok(None),
            Some(version) if self.descriptor(version)?.service.is_some() => {
                Ok(Some(version.clone()))
            }
            _ => Ok(None),
        }
    }

    /// The inputs that releases on this node declare beside `release`.
    pub fn inputs_elsewhere(&self, release: &Descriptor) -> Result<BTreeSet<InputName>, NodeError> {
        let mut names = BTreeSet::new();
        let asked = |name: &InputName| release.inputs.contains_key(name);
        if self.settings.inputs.keys().all(asked) {
            return Ok(names);
        }
        for version in self.sealed()? {
            names.extend(self.descriptor(&version)?.inputs.into_keys());
        }
        Ok(names)
    }
}

/// Everything that lies below `releases/` or `state/releases/` of a root, whole or not.
pub fn recorded(root: &Root) -> Result<BTreeSet<Version>, NodeError> {
    let mut versions = BTreeSet::new();
    for folder in [root.records(), root.releases()] {
        let read = |error| NodeError::from(DiskError::new("read", &folder, error));
        let entries = match std::fs::read_dir(&folder) {
            // Whatever changes the node makes it again.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(read)?,
        };
        for entry in entries {
            let name = entry.map_err(read)?.file_name();
            versions.extend(name.to_str().and_then(|name| name.parse::<Version>().ok()));
        }
    }
    Ok(versions)
}

/// What `current` names below `root`.
pub fn current(root: &Root) -> Result<Option<Version>, NodeError> {
    let path = root.current();
    let named = |target: &Path| target.strip_prefix("releases").ok()?.to_str()?.parse().ok();
    match std::fs::read_link(&path) {
        Ok(target) => match named(&target) {
            Some(version) => Ok(Some(version)),
            None => {
                let what = format!("a link to {}", target.display());
                Err(NodeError::Current { path, what })
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // No link at all.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            let what = if path.is_dir() { "a folder" } else { "a file" }.to_owned();
            Err(NodeError::Current { path, what })
        }
        Err(error) => Err(DiskError::new("read", &path, error).into()),
    }
}

/// The number of the rendering of a release that holds.
pub fn rendering(root: &Root, version: &Version) -> Result<Option<u64>, DiskError> {
    let link = root.rendering(version);
    match std::fs::read_link(&link) {
        Ok(target) => Ok(target.to_str().and_then(|text| text.parse().ok())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskError::new("read", &link, error)),
    }
}

/// Refuses a root that is a link to nothing: what it names may only not be mounted.
pub fn refuse_dangling(path: &Path) -> Result<(), NodeError> {
    match std::fs::read_link(path) {
        Ok(target) if !path.exists() => Err(NodeError::Dangling { path: path.to_owned(), target }),
        _ => Ok(()),
    }
}
