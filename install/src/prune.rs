//! What a node need not keep.

use std::collections::BTreeSet;

use cutover_formats::version::Version;

use crate::build;
use crate::configure::rendering;
use crate::disk::{self, DiskError};
use crate::gate;
use crate::node::Node;
use crate::situation::{self, SituationError};
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
pub fn used(node: &Node, standings: &Standings) -> Result<BTreeSet<Version>, SituationError> {
    let mut used: BTreeSet<Version> = node.current()?.into_iter().collect();
    used.extend(standings.previous.clone());
    if let Some(mut gate) = situation::gate(node)? {
        used.extend(gate.status()?.running.map(|running| running.version));
    }
    Ok(used)
}

/// What came of tidying up. What could not be removed keeps nothing else from it, and is tried again
/// the next time.
#[derive(Debug, Default)]
pub struct Tidied {
    /// The releases that went.
    pub removed: Vec<Version>,
    /// What could not be removed, or looked at.
    pub problems: Vec<SituationError>,
}

impl Tidied {
    /// Notes why something was not done.
    fn note<E: Into<SituationError>>(&mut self, done: Result<(), E>) {
        self.problems.extend(done.err().map(Into::into));
    }
}

/// The releases that go: those that are [`superfluous`], and what crashes left of some. What runs or
/// would run after a rollback stays, whatever became of its records.
pub fn goes(node: &Node, standings: &Standings) -> Result<Vec<Version>, SituationError> {
    let used = used(node, standings)?;
    let mut goes = superfluous(&node.sealed()?, &used, standings, node.settings.keep);
    goes.extend(broken(node, &used)?);
    Ok(goes)
}

/// What is not whole of releases that nobody uses.
fn broken(node: &Node, used: &BTreeSet<Version>) -> Result<Vec<Version>, SituationError> {
    let (recorded, sealed) = (node.recorded()?, node.sealed()?);
    Ok(recorded.difference(&sealed).filter(|version| !used.contains(version)).cloned().collect())
}

/// Removes what [`goes`], and all else that crashes left behind. The node's lock is held.
pub fn prune(node: &Node, standings: &Standings) -> Tidied {
    tidy(node, goes(node, standings), None)
}

/// Removes what crashes leave behind: prefixes and records that are not whole, temporaries, and what
/// builders had for a time. None of those runs any more.
/// `to` was being brought, though it may have run before: where its contents are `kept`, its prefix
/// stays, so that the next try goes on with what is in it.
pub fn remove_litter(node: &Node, to: &Version, kept: Kept) -> Tidied {
    let used = || {
        let mut standings = Standings::load(&node.root)?;
        standings.previous.take_if(|previous| previous == to);
        used(node, &standings)
    };
    let kept = (kept == Kept::Contents).then_some(to);
    tidy(node, used().and_then(|used| broken(node, &used)), kept)
}

/// What stays of a release that could not be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What is in its prefix.
    Contents,
    /// Nothing.
    Nothing,
}

fn tidy(node: &Node, goes: Result<Vec<Version>, SituationError>, kept: Option<&Version>) -> Tidied {
    let mut tidied = Tidied::default();
    let goes = goes.unwrap_or_else(|error| {
        tidied.problems.push(error);
        Vec::new()
    });
    for version in goes {
        if Some(&version) == kept {
            remove_records(node, &version, &mut tidied);
            continue;
        }
        let before = tidied.problems.len();
        remove(node, &version, &mut tidied);
        if tidied.problems.len() == before {
            tidied.removed.push(version);
        }
    }
    sweep(node, &mut tidied);
    tidied
}

fn sweep(node: &Node, tidied: &mut Tidied) {
    let root = &node.root;
    match node.sealed() {
        Ok(sealed) => {
            for version in &sealed {
                tidied.note(rendering::sweep(root, version));
                tidied.note(disk::remove_temporaries(&root.record(version)));
            }
        }
        Err(error) => tidied.note(Err::<(), _>(error)),
    }
    for folder in [root.path().to_owned(), root.state(), root.receipts(), root.all_once()] {
        tidied.note(disk::remove_temporaries(&folder));
    }
    tidied.note(disk::sweep_trials(&root.releases()));
    tidied.note(build::sweep(root));
    tidied.note(gate::sweep(root).map_err(|error| DiskError::new("tidy up", &root.run(), error)));
    let trust = root.trust();
    let swept = cutover_repository::client::sweep(&trust);
    tidied.note(swept.map(drop).map_err(|error| DiskError::new("tidy up", &trust, error)));
}

/// The seal goes first: whatever is left after a crash is no release any more.
fn remove(node: &Node, version: &Version, tidied: &mut Tidied) {
    let root = &node.root;
    let mut unsealed = disk::remove_file(&root.seal(version));
    if unsealed.is_ok() && root.record(version).is_dir() {
        unsealed = disk::sync_folder(&root.record(version));
    }
    if unsealed.is_err() {
        // It stays whole.
        return tidied.note(unsealed);
    }
    tidied.note(disk::remove_tree(&root.prefix(version)));
    remove_records(node, version, tidied);
}

/// What there is of a release beside its prefix.
fn remove_records(node: &Node, version: &Version, tidied: &mut Tidied) {
    for folder in [node.root.config(version), node.root.record(version)] {
        tidied.note(disk::remove_tree(&folder));
    }
    tidied.note(forget_output(node, version));
}

/// The service's output, in as many files as the node's settings ever had it in.
fn forget_output(node: &Node, version: &Version) -> Result<(), DiskError> {
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
