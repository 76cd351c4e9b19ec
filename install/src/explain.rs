//! Where an installed file came from: by the node's own records, which were verified when they were
//! made, and without asking anybody.

mod place;
mod wheel;

use std::path::PathBuf;

use cutover_formats::descriptor::{ConfigFile, Descriptor, Source, Vendored};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::InvalidFileList;
use cutover_formats::path::RelPath;
use cutover_formats::version::Version;
use cutover_repository::client::SignedBy;
use serde::Serialize;

pub use self::place::{Place, places};
use crate::audit::{Inventory, Look};
use crate::configure::rendering::Record;
use crate::disk::{self, DiskError};
use crate::fetch::parse_file_list;
use crate::integrity;
use crate::node::{Node, NodeError};
use crate::requires::config_source;
use crate::root::Root;

/// All that is known of a file.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Where it stands, and in which release.
    #[serde(flatten)]
    pub place: Place,
    /// The release's descriptor.
    pub descriptor: Digest,
    /// Who signed that; `None` where an older program installed the release.
    pub signed_by: Option<SignedBy>,
    /// What put the file there.
    pub origin: Origin,
    /// The source tree that the release was made from.
    pub source: Source,
    /// What should be there, and what is wrong with what is.
    #[serde(flatten)]
    pub look: Look,
}

/// What put a file into a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Origin {
    /// The release's own source tree.
    Source,
    /// A third-party distribution that the release carries, as it was locked.
    Vendored(Vendored),
    /// Built on this node.
    Built {
        /// By what.
        #[serde(skip_serializing_if = "Option::is_none")]
        builder: Option<String>,
        /// From which distribution, where the environment's own records say so.
        #[serde(skip_serializing_if = "Option::is_none")]
        distribution: Option<Vendored>,
    },
    /// A file of the node, seen from inside the prefix.
    Config {
        /// Where it really is.
        file: PathBuf,
        /// The release's template that the node rendered it from; the operator keeps all others.
        #[serde(skip_serializing_if = "Option::is_none")]
        template: Option<RelPath>,
    },
}

/// A record of a release cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NoRecord {
    /// Its descriptor.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its file list.
    #[error(transparent)]
    FileList(#[from] InvalidFileList),
    /// Any of its records, or the prefix.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for NoRecord {
    fn exit(&self) -> Exit {
        match self {
            Self::Node(error) => error.exit(),
            Self::FileList(error) => error.exit(),
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Node(error) => error.hints(),
            Self::FileList(error) => error.hints(),
            Self::Disk(error) => error.hints(),
        }
    }
}

/// Explains what stands at `place`; `None` where no release put anything there.
pub fn explain(node: &Node, place: &Place) -> Result<Option<Explanation>, NoRecord> {
    let (root, version) = (&node.root, &place.version);
    let descriptor = node.descriptor(version)?;
    let Some((origin, look)) = origin(node, place, &descriptor)? else { return Ok(None) };
    Ok(Some(Explanation {
        place: place.clone(),
        descriptor: Digest::of(&disk::read(&root.descriptor(version))?),
        signed_by: disk::read_json(&root.signed_by(version))?,
        origin,
        source: descriptor.source,
        look,
    }))
}

fn origin(
    node: &Node,
    Place { version, path, .. }: &Place,
    descriptor: &Descriptor,
) -> Result<Option<(Origin, Look)>, NoRecord> {
    let prefix = node.root.prefix(version);
    let list = disk::read(&node.root.file_list(version))?;
    if let Some(look) = Look::listed(&parse_file_list(descriptor, &list)?, &prefix, path)? {
        let vendored = descriptor.vendored.iter().find(|it| it.path == *path).cloned();
        return Ok(Some((vendored.map_or(Origin::Source, Origin::Vendored), look)));
    }
    if let Some(file) = descriptor.config.get(path) {
        return config(&node.root, version, path, file).map(Some);
    }
    let built: Option<Inventory> = disk::read_json(&node.root.built(version))?;
    let Some(built) = built else { return Ok(None) };
    let Some(look) = built.look(&prefix, path)? else { return Ok(None) };
    let look = look.with(integrity::interpreter(&prefix, descriptor).map(|it| it.problem));
    let builder = built.builder().map(str::to_owned);
    let distribution = wheel::distribution(&built, &prefix, path)?;
    let distribution = distribution.and_then(|it| it.among(&descriptor.vendored).cloned());
    Ok(Some((Origin::Built { builder, distribution }, look)))
}

fn config(
    root: &Root,
    version: &Version,
    path: &RelPath,
    config: &ConfigFile,
) -> Result<(Origin, Look), NoRecord> {
    let (file, template, problems) = match config {
        ConfigFile::Linked { from, .. } => (config_source(root, from), None, Vec::new()),
        ConfigFile::Rendered { template } => {
            let findings = Record::load(root, version)?.audit(root, version)?;
            let ours = findings.into_iter().filter(|finding| finding.path == path.as_path());
            let problems = ours.map(|finding| finding.problem).collect();
            (root.rendered(version).join(path.as_path()), Some(template.clone()), problems)
        }
    };
    let look = Look::link(&root.prefix(version), path, file.to_string_lossy().into_owned())?;
    Ok((Origin::Config { file, template }, look.with(problems)))
}
