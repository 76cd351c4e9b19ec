//! What this node has learned about releases: good, bad, and what ran before.

use std::collections::BTreeMap;

use cutover_formats::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::root::Root;

/// What is remembered of the releases, beyond their removal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standings {
    /// What ran before the release that runs: where `rollback` goes.
    pub previous: Option<Version>,
    /// What was learned of each.
    pub releases: BTreeMap<Version, Standing>,
}

/// What was learned of a release on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "lowercase")]
pub enum Standing {
    /// It ran and was healthy.
    Good {
        /// When it was last switched to.
        since: Timestamp,
    },
    /// It failed after or right before the switch.
    Bad {
        /// When.
        since: Timestamp,
        /// What went wrong.
        reason: String,
    },
}

impl Standings {
    /// Reads what is remembered; nothing where nothing was ever written.
    pub fn load(root: &Root) -> Result<Self, DiskError> {
        Ok(disk::read_json(&root.standings())?.unwrap_or_default())
    }

    /// The same, for whoever goes on without: where the file is damaged, nothing is remembered, and
    /// `tell` hears so. Withdrawals are not among what is lost: they are kept elsewhere.
    pub fn load_or_forget(root: &Root, tell: impl FnOnce(&str)) -> Result<Self, DiskError> {
        match Self::load(root) {
            Err(error) if error.is_damage() => {
                tell(&format!(
                    "{error}: which releases ran well or failed on this node is not known any more; \
                     the next install or `install rollback --to VERSION` begins it anew"
                ));
                Ok(Self::default())
            }
            loaded => loaded,
        }
    }

    /// Writes it durably.
    pub fn save(&self, root: &Root) -> Result<(), DiskError> {
        disk::write_json(&root.standings(), self)
    }

    /// `version` runs and is healthy; `before` ran until now.
    pub fn switched(&mut self, version: &Version, before: Option<&Version>, now: Timestamp) {
        self.releases.insert(version.clone(), Standing::Good { since: now });
        if before != Some(version) {
            self.previous = before.cloned();
        }
    }

    /// `version` failed.
    pub fn failed(&mut self, version: &Version, reason: &str, now: Timestamp) {
        let reason = reason.to_owned();
        self.releases.insert(version.clone(), Standing::Bad { since: now, reason });
    }

    /// Why `version` is remembered as bad, if it is.
    #[must_use]
    pub fn reason_against(&self, version: &Version) -> Option<&str> {
        match self.releases.get(version) {
            Some(Standing::Bad { reason, .. }) => Some(reason),
            _ => None,
        }
    }

    /// Versions that ran well, the latest first.
    #[must_use]
    pub fn good(&self) -> Vec<&Version> {
        let mut good: Vec<(Timestamp, &Version)> = self
            .releases
            .iter()
            .filter_map(|(version, standing)| match standing {
                Standing::Good { since } => Some((*since, version)),
                Standing::Bad { .. } => None,
            })
            .collect();
        good.sort();
        good.into_iter().rev().map(|(_, version)| version).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_run_comes_first() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let [a, b, c] = [1, 2, 3].map(|minor| Version::new(1, minor, 0));
        let mut standings = Standings::default();
        standings.switched(&a, None, at(1));
        standings.switched(&b, Some(&a), at(2));
        standings.failed(&c, "never healthy", at(3));
        assert_eq!(standings.good(), [&b, &a]);
        assert_eq!(standings.previous, Some(a.clone()));
        assert_eq!(standings.reason_against(&c), Some("never healthy"));
        standings.switched(&a, Some(&b), at(4));
        assert_eq!(standings.good(), [&a, &b]);
        assert_eq!(standings.previous, Some(b));
    }
}
