//! The node's own files, seen from inside the prefix through symlinks: those that the operator
//! keeps, and those that are rendered from the release's templates with the node's values.
//!
//! In the order of the modules: [`inputs`] settles what the node gives for what the release asks,
//! [`secret`] reads what must be shown nowhere, [`render`] puts both into templates, [`rendering`]
//! keeps the outcome outside the prefix and says whether it still stands; [`stale`] whether it would
//! come out otherwise now; [`compare`] how another release's differ.

pub mod compare;
pub mod inputs;
pub mod render;
pub mod rendering;
pub mod secret;
pub mod stale;

use std::path::Path;

use cutover_formats::descriptor::{ConfigFile, Descriptor};
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{Entry, FileList, Kind};
use cutover_formats::path::RelPath;
use cutover_formats::template::TemplateError;

use self::inputs::Inputs;
use self::render::Rendered;
use self::rendering::{Kept, Record};
use crate::audit::{Finding, audit_links};
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
    /// The release has no such template.
    #[error("[config] \"{path}\" has the template \"{template}\", which is no file of the release")]
    NoTemplate {
        /// What is to be rendered.
        path: RelPath,
        /// From what.
        template: RelPath,
    },
    /// A template in the prefix is another than was signed.
    #[error("the template {0} in the prefix is not the one that was signed")]
    Changed(RelPath),
    /// A template cannot be read, or not with these values.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The disk would not.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for ConfigError {
    fn exit(&self) -> Exit {
        match self {
            Self::Clash(_)
            | Self::Through { .. }
            | Self::Environment { .. }
            | Self::NoTemplate { .. } => Exit::Usage,
            Self::Changed(_) => Exit::NotTrusted,
            Self::Template(error) => error.exit(),
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Clash(_)
            | Self::Through { .. }
            | Self::Environment { .. }
            | Self::NoTemplate { .. } => "the release must be made anew without it",
            Self::Changed(_) => "`install verify` shows what else was changed in the prefix",
            Self::Template(_) => {
                "the values in [inputs] of node.toml do not suit the template, or the release must \
                 be made anew; `install config show` lists them"
            }
            Self::Disk(error) => return error.hints(),
        };
        vec![hint.to_owned()]
    }
}

/// Renders what a release asks for whose contents stand in its prefix, and keeps it; in words, what
/// that came to.
pub fn render_for(
    root: &Root,
    release: &Descriptor,
    list: &FileList,
    inputs: &Inputs,
) -> Result<String, ConfigError> {
    let rendered = rendered(root, release, list, inputs)?;
    Ok(match rendering::keep(root, &release.version, &rendered)? {
        Kept::AsItWas => "rendered as before".to_owned(),
        Kept::Written => {
            let paths: Vec<&str> = rendered.iter().map(|file| file.path.as_str()).collect();
            format!("rendered {}", paths.join(", "))
        }
    })
}

/// Renders it beside what holds, as the rendering of that number; in words, what that came to.
pub fn render_beside(
    root: &Root,
    release: &Descriptor,
    list: &FileList,
    inputs: &Inputs,
    number: u64,
) -> Result<String, ConfigError> {
    let rendered = rendered(root, release, list, inputs)?;
    let standing = Record::load(root, &release.version)?;
    rendering::lay(root, &release.version, number, &rendered)?;
    let changed = standing.differences(&Record::of(&rendered));
    let changed: Vec<&str> = changed.iter().map(RelPath::as_str).collect();
    Ok(match changed.is_empty() {
        true => "rendered as before".to_owned(),
        false => format!("rendered {}", changed.join(", ")),
    })
}

/// What a release whose contents stand in its prefix comes to with `inputs`; keeps nothing.
pub fn rendered(
    root: &Root,
    release: &Descriptor,
    list: &FileList,
    inputs: &Inputs,
) -> Result<Vec<Rendered>, ConfigError> {
    let prefix = Folder::open(&root.prefix(&release.version))?;
    render::render(&render::sources_in(&prefix, release, list)?, inputs)
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
            if entry(list, path.as_str()).is_some() {
                return Err(ConfigError::Clash(path.clone()));
            }
            if let Some(through) = release.config.keys().find(|other| below(path, other)) {
                let (path, through) = (path.clone(), through.clone());
                return Err(ConfigError::Through { path, through });
            }
            let ends = path.as_str().match_indices('/').map(|(end, _)| &path.as_str()[..end]);
            for folder in ends {
                match entry(list, folder).map(|entry| &entry.kind) {
                    Some(Kind::Folder) => {}
                    Some(_) => return Err(ConfigError::Clash(path.clone())),
                    None => plan.folder(folder),
                }
            }
            let source = match file {
                ConfigFile::Linked { from, .. } => config_source(root, from),
                ConfigFile::Rendered { template } => {
                    render::signed_template(list, path, template)?;
                    root.rendered(&release.version).join(path.as_path())
                }
            };
            plan.links.push((path.clone(), source.to_string_lossy().into_owned()));
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

    /// Those in `prefix` that are gone or lead elsewhere.
    pub fn audit(&self, prefix: &Path) -> Result<Vec<Finding>, DiskError> {
        audit_links(prefix, &self.links)
    }

    /// What stands in the prefix beside the release's own files.
    #[must_use]
    pub fn paths(&self) -> Vec<RelPath> {
        let links = self.links.iter().map(|(path, _)| path);
        self.folders.iter().chain(links).cloned().collect()
    }
}

/// What the list has at a path.
fn entry<'l>(list: &'l FileList, path: &str) -> Option<&'l Entry> {
    let entries = list.entries();
    let index = entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
    Some(&entries[index])
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
