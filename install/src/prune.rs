//! What a node need not keep.

use std::collections::BTreeSet;

use cutover_formats::version::Version;

use crate::build;
use crate::configure::rendering;
use crate::disk::{self, DiskError};
use crate::fetch;
use crate::gate;
use crate::node::{Node, NodeError};
use crate::standing::Standings;

/// Which of the `sealed` releases to remove: all but what is `used`, and the `keep` last that ran
/// well.
#[must_use]
pub fn superfluous(
    sealed: &BTreeSet<Version>,
    used: &BTreeSet<Version>,
    standings: &Standings,
    keep: usize,
) -> Vec<Version> {
    let others = standings.good().into_iter().filter(|version| !used.contains(version));
    let kept: BTreeSet<&Version> =
        others.filter(|version| sealed.contains(version)).take(keep).collect();
    let goes = |version: &&Version| !used.contains(version) && !kept.contains(version);
    sealed.iter().filter(goes).cloned().collect()
}

/// What runs, and what would run after a rollback.
pub fn used(node: &Node, standings: &Standings) -> Result<BTreeSet<Version>, NodeError> {
    let mut used: BTreeSet<Version> = node.current()?.into_iter().collect();
    used.extend(standings.previous.clone());
    if let Some(mut gate) = node.gate()? {
        used.extend(gate.status()?.running.map(|running| running.version));
    }
    Ok(used)
}

/// Removes what is superfluous, and what crashes left behind. The node's lock is held.
pub fn prune(node: &Node, standings: &Standings) -> Result<Vec<Version>, NodeError> {
    let used = used(node, standings)?;
    let goes = superfluous(&node.sealed()?, &used, standings, node.settings.keep);
    for version in &goes {
        remove(node, version)?;
    }
    remove_litter(node)?;
    fetch::forget(&node.root, None)?;
    Ok(goes)
}

/// Removes what crashes leave behind: prefixes and records that are not whole, temporaries, and what
/// builders had for a time. None of those runs any more.
/// Downloads stay, so that the next try can go on with them.
pub fn remove_litter(node: &Node) -> Result<(), NodeError> {
    let root = &node.root;
    let sealed = node.sealed()?;
    for version in node.recorded()?.difference(&sealed) {
        remove(node, version)?;
    }
    for version in &sealed {
        rendering::sweep(root, version)?;
    }
    let records = sealed.iter().map(|version| root.record(version));
    let folders = [root.path().to_owned(), root.state(), root.receipts(), root.all_once()];
    for folder in records.chain(folders) {
        disk::remove_temporaries(&folder)?;
    }
    build::sweep(root)?;
    gate::sweep(root).map_err(|error| DiskError::new("tidy up", &root.run(), error))?;
    let trust = root.trust();
    let swept = cutover_repository::client::sweep(&trust);
    swept.map_err(|error| DiskError::new("tidy up", &trust, error))?;
    Ok(())
}

/// The seal goes first: whatever is left after a crash is no release any more.
fn remove(node: &Node, version: &Version) -> Result<(), NodeError> {
    disk::remove_file(&node.root.seal(version))?;
    if node.root.record(version).is_dir() {
        disk::sync_folder(&node.root.record(version))?;
    }
    disk::remove_tree(&node.root.prefix(version))?;
    disk::remove_tree(&node.root.config(version))?;
    disk::remove_tree(&node.root.record(version))?;
    forget_output(node, version)
}

/// The service's output, in as many files as the node's settings ever had it in.
fn forget_output(node: &Node, version: &Version) -> Result<(), NodeError> {
    let log = node.root.service_log(version);
    disk::remove_file(&log)?;
    for number in 1.. {
        let older = std::path::PathBuf::from(format!("{}.{number}", log.display()));
        if !older.exists() {
            break;
        }
        disk::remove_file(&older)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn the_last_good_ones_stay() {
        let versions: Vec<Version> = (0..6).map(|minor| Version::new(1, minor, 0)).collect();
        let mut standings = Standings::default();
        for (second, version) in (1..).zip(&versions) {
            let at = Timestamp::from_second(second).unwrap();
            standings.switched(version, None, at);
        }
        standings.failed(&versions[4], "bad", Timestamp::UNIX_EPOCH);
        let sealed = versions.iter().cloned().collect();
        let used = [versions[5].clone()].into();
        let goes = superfluous(&sealed, &used, &standings, 2);
        assert_eq!(goes, [versions[0].clone(), versions[1].clone(), versions[4].clone()]);
    }
}
