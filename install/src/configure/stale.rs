//! Whether a release's files would be rendered otherwise now: the node's values may have changed.

use std::collections::BTreeSet;

use cutover_formats::descriptor::Descriptor;
use cutover_formats::path::RelPath;
use cutover_terminal::{Failure, Output};

use super::ConfigError;
use super::rendering::Record;
use crate::fetch::{FetchError, recorded_file_list};
use crate::node::Node;
use crate::requires::{Lacking, check_inputs};

/// The rendered files of a release on this node that would come out otherwise now, or are not as they
/// were rendered; refuses what cannot be rendered.
pub fn changed(node: &Node, release: &Descriptor) -> Result<Vec<RelPath>, Failure> {
    if !release.renders() {
        return Ok(Vec::new());
    }
    let inputs = check_inputs(node, release)?;
    let list = recorded_file_list(&node.root, release)?;
    let rendered = super::rendered(&node.root, release, &list, &inputs)?;
    let (standing, now) = (Record::load(&node.root, &release.version)?, Record::of(&rendered));
    let mut changed: BTreeSet<RelPath> = standing.differences(&now).into_iter().collect();
    let findings = standing.audit(&node.root, &release.version)?;
    let touched = |path: &&RelPath| findings.iter().any(|finding| finding.path == path.as_path());
    changed.extend(now.files.keys().filter(touched).cloned());
    Ok(changed.into_iter().collect())
}

/// What rendering anew would change.
#[derive(Debug)]
pub enum Stale {
    /// These files; mostly none.
    Files(Vec<RelPath>),
    /// It cannot be rendered now, and why not.
    Unknown(String),
}

impl Stale {
    /// Renders what is asked for by `release`, which is on this node, and throws it away.
    pub fn look(node: &Node, release: &Descriptor) -> Result<Self, FetchError> {
        if !release.renders() {
            return Ok(Self::Files(Vec::new()));
        }
        let inputs = match check_inputs(node, release) {
            Ok(inputs) => inputs,
            Err(Lacking::Things { inputs, .. }) => return Ok(Self::Unknown(inputs.join("; "))),
            Err(error) => return Ok(Self::Unknown(error.to_string())),
        };
        let list = recorded_file_list(&node.root, release)?;
        Ok(match super::rendered(&node.root, release, &list, &inputs) {
            Ok(rendered) => {
                let standing = Record::load(&node.root, &release.version)?;
                Self::Files(standing.differences(&Record::of(&rendered)))
            }
            Err(ConfigError::Disk(error)) => return Err(error.into()),
            Err(error) => Self::Unknown(error.to_string()),
        })
    }

    /// The files; none where that cannot be said.
    #[must_use]
    pub fn files(&self) -> &[RelPath] {
        match self {
            Self::Files(paths) => paths,
            Self::Unknown(_) => &[],
        }
    }

    /// Says so. It is no fault of the release's and stops nothing.
    pub fn warn(&self, node: &Node, release: &Descriptor, output: &Output) {
        let version = &release.version;
        let runs = node.current().is_ok_and(|current| current.as_ref() == Some(version));
        let next = if runs { ", and `install apply` applies it" } else { "" };
        match self {
            Self::Files(paths) if paths.is_empty() => {}
            Self::Files(paths) => {
                let paths: Vec<&str> = paths.iter().map(RelPath::as_str).collect();
                output.warn(format!(
                    "{version}: {} would be rendered otherwise now, because the node's values have \
                     changed; `install config diff {version}` shows how{next}",
                    paths.join(", ")
                ));
            }
            Self::Unknown(why) => {
                output.warn(format!("{version} could not be rendered now: {why}"))
            }
        }
    }
}
