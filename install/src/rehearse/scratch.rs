//! A node's root in small, for as long as a rehearsal takes.

use std::ffi::OsStr;

use cutover_terminal::Failure;

use crate::disk::{self, DiskError, DownloadFolder};
use crate::fetch;
use crate::gate::end_left_behind;
use crate::leftovers;
use crate::node::{Node, NodeError};
use crate::resolve::Release;
use crate::root::Root;
use crate::swap;

/// What stands in a root that is Cutover's own; all else is seen from a rehearsal too.
const OWN: [&str; 6] = ["node.toml", "current", "releases", "config", "state", "run"];

/// A node that has nothing yet, with the settings and the files of `node`.
///
/// The download is the node's own by a second name, and the builders' cache the node's own: both are
/// of use to the install that follows. `current` leads to the release from the start.
pub(super) fn make(node: &Node, release: &Release) -> Result<Node, NodeError> {
    let (real, root) = (&node.root, node.root.rehearsal());
    for folder in [root.releases(), root.configs(), root.records(), root.downloads(), root.run()] {
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
    if !node.sealed()?.contains(&descriptor.version) {
        share_download(real, &root, release);
    }
    let elsewhere = node.inputs_elsewhere(descriptor)?;
    let mut settings = node.settings.clone();
    settings
        .inputs
        .retain(|name, _| descriptor.inputs.contains_key(name) || !elsewhere.contains(name));
    Ok(Node { root, settings })
}

/// Where that cannot be had, the bundle is fetched twice.
fn share_download(real: &Root, root: &Root, release: &Release) {
    let [part, also] = [real, root].map(|root| fetch::part(root, &release.descriptor));
    if disk::open_download(&part, DownloadFolder::Node).is_ok() {
        let _ = disk::name_also(&part, &also);
    }
}

/// Ends and removes what is left of a rehearsal; whether there was one. The node's lock is held.
pub fn sweep(root: &Root) -> Result<bool, Failure> {
    let scratch = root.rehearsal();
    if !scratch.path().exists() {
        return Ok(false);
    }
    leftovers::end(&id(root), &[]);
    end_left_behind(&scratch)?;
    disk::remove_tree(scratch.path())?;
    disk::sync_folder(&root.state())?;
    Ok(true)
}

/// Marks what a rehearsal on this node starts.
pub(super) fn id(root: &Root) -> String {
    format!("rehearsal in {}", root.path().display())
}
