//! A node's root in small, for as long as a rehearsal takes.

use std::ffi::OsStr;

use cutover_formats::version::Version;
use cutover_terminal::Failure;

use crate::disk::{self, DiskError};
use crate::gate::end_left_behind;
use crate::leftovers;
use crate::node::{Node, NodeError, recorded};
use crate::resolve::Release;
use crate::root::Root;
use crate::swap;

/// What stands in a root that is Cutover's own; all else is seen from a rehearsal too.
const OWN: [&str; 6] = ["node.toml", "current", "releases", "config", "state", "run"];

/// A node that has nothing yet, with the settings and the files of `node`.
///
/// What an install that was cut off brought of the release is moved there, and [`sweep`] moves the contents
/// that the rehearsal has back; the builders' cache is the node's own: both are of use to the install that
/// follows. `current` leads to the release from the start.
pub(super) fn make(node: &Node, release: &Release) -> Result<Node, NodeError> {
    let (real, root) = (&node.root, node.root.rehearsal());
    for folder in [root.releases(), root.configs(), root.records(), root.run()] {
        disk::ensure_folder(&folder)?;
    }
    let read = |error| DiskError::new("read", real.path(), error);
    for entry in std::fs::read_dir(real.path()).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        if !OWN.iter().any(|own| name == OsStr::new(own)) {
            disk::write_link(&root.path().join(&name), &entry.path())?;
        }
    }
    disk::ensure_folder(&real.cache())?;
    disk::write_link(&root.cache(), &real.cache())?;
    disk::write_link(&root.trust(), &real.trust())?;
    let descriptor = &release.descriptor;
    swap::point_current(&root, Some(&descriptor.version))?;
    move_contents(real, &descriptor.version, real, &root);
    let elsewhere = node.inputs_elsewhere(descriptor)?;
    let mut settings = node.settings.clone();
    settings
        .inputs
        .retain(|name, _| descriptor.inputs.contains_key(name) || !elsewhere.contains(name));
    Ok(Node { root, settings })
}

/// Moves what there is of a release's contents. Of one that is sealed on the node nothing is moved, and
/// what cannot be moved is fetched once more.
fn move_contents(real: &Root, version: &Version, from: &Root, to: &Root) {
    if !real.seal(version).exists() {
        let _ = disk::move_folder(&from.prefix(version), &to.prefix(version));
    }
}

/// Ends and removes what is left of a rehearsal; whether there was one. Its contents go to the node, where
/// an install finds them. The node's lock is held.
pub fn sweep(root: &Root) -> Result<bool, Failure> {
    let scratch = root.rehearsal();
    if !scratch.path().exists() {
        return Ok(false);
    }
    leftovers::end(&id(root), &[]);
    end_left_behind(&scratch)?;
    for version in recorded(&scratch)? {
        move_contents(root, &version, &scratch, root);
    }
    disk::remove_tree(scratch.path())?;
    disk::sync_folder(&root.state())?;
    Ok(true)
}

/// Marks what a rehearsal on this node starts.
pub(super) fn id(root: &Root) -> String {
    format!("rehearsal in {}", root.path().display())
}
