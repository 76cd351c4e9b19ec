//! The client's workflow (specification section 5.3), without any I/O.
//!
//! Each stage takes the bytes of the next file and becomes the next stage, or refuses. The order
//! root → timestamp → snapshot → targets is the order of the types, so it cannot be got wrong:
//!
//! ```text
//! Roots ──finish──▶ Timestamps ──accept──▶ Snapshots ──accept──▶ Trusted ──role──▶ Verified<Targets>
//!   ▲ step             ▲ floor                ▲ stored
//! ```
//!
//! `now` is given once and holds for the whole run: a clock that is turned back in between changes
//! nothing. Stored copies of timestamp and snapshot are *floors*: even when they have expired, or
//! no longer fit, what replaces them may not be older.

use jiff::Timestamp as Time;

use super::key::Keys;
use super::metadata::{Head, Signed, Unverified, Verified};
use super::refusal::Refusal;
use super::root::Root;
use super::snapshot::{MetaFile, Snapshot};
use super::targets::{Delegations, Targets};
use super::timestamp::Timestamp;
use super::verify::RoleKeys;

/// The first stage: a trusted root, and the chain of those that follow it.
#[derive(Clone, Debug)]
pub struct Roots {
    root: Verified<Root>,
}

/// What a new root means for the files that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// They stay.
    Kept,
    /// Timestamp and snapshot keys were replaced: the stored timestamp and snapshot are to be
    /// deleted *before* the root is stored. Otherwise whoever stole the old keys could have set
    /// floors so high that nothing true is ever accepted again.
    Dropped,
}

impl Roots {
    /// A root that is trusted because of where it comes from; it must at least be signed by its own
    /// keys. It may have expired.
    pub fn pinned(bytes: &[u8]) -> Result<Self, Refusal> {
        let unverified = Unverified::<Root>::parse(bytes)?;
        let (keys, role) = (unverified.signed.keys.clone(), root_role(&unverified.signed).clone());
        Ok(Self { root: role.verify(Root::TYPE, &keys, unverified)? })
    }

    /// The version of the root that would be next.
    #[must_use]
    pub fn next_version(&self) -> u64 {
        self.root.head.version.saturating_add(1)
    }

    /// The next root: signed by the keys of the one before and by its own.
    pub fn step(&mut self, bytes: &[u8]) -> Result<Stored, Refusal> {
        let unverified = Unverified::<Root>::parse(bytes)?;
        let (keys, role) = (unverified.signed.keys.clone(), root_role(&unverified.signed).clone());
        let by_old =
            root_role(&self.root).verify(Root::TYPE, &self.root.keys, unverified.clone())?;
        check_version(Root::TYPE, self.next_version(), by_old.head.version)?;
        let next = role.verify(Root::TYPE, &keys, unverified)?;
        let rotated = ["timestamp", "snapshot"].iter().any(|role| self.root.rotates(role, &next));
        self.root = next;
        Ok(if rotated { Stored::Dropped } else { Stored::Kept })
    }

    /// Ends the chain: this is the newest root, so it must not have expired.
    pub fn finish(self, now: Time) -> Result<Timestamps, Refusal> {
        check_expiry(Root::TYPE, &self.root.head, now)?;
        Ok(Timestamps { root: self.root, now, floor: None })
    }

    /// The root so far.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }
}

/// The second stage: the root is known, the timestamp is next.
#[derive(Clone, Debug)]
pub struct Timestamps {
    root: Verified<Root>,
    now: Time,
    floor: Option<Verified<Timestamp>>,
}

/// Which copy of a file is the trusted one from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// The one that was stored.
    Stored,
    /// The one just received; it is to be stored.
    Received,
}

impl Timestamps {
    /// The stored timestamp, as a floor. One that does not verify any more is none: the keys were
    /// replaced, or the file was tampered with.
    pub fn floor(&mut self, stored: &[u8]) -> Result<(), Refusal> {
        self.floor = Some(verified(&self.root, stored)?);
        Ok(())
    }

    /// The root that was settled on.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The timestamp just received. Of two of the same version the stored one stays.
    pub fn accept(self, received: &[u8]) -> Result<(Snapshots, Copy), Refusal> {
        let new: Verified<Timestamp> = verified(&self.root, received)?;
        let (timestamp, copy) = match self.floor {
            None => (new, Copy::Received),
            Some(floor) => {
                let versions = (floor.head.version, new.head.version);
                check_floor(Timestamp::TYPE, versions.0, versions.1)?;
                if versions.0 == versions.1 {
                    (floor, Copy::Stored)
                } else {
                    check_floor(Snapshot::TYPE, floor.snapshot.version, new.snapshot.version)?;
                    (new, Copy::Received)
                }
            }
        };
        check_expiry(Timestamp::TYPE, &timestamp.head, self.now)?;
        Ok((Snapshots { root: self.root, now: self.now, timestamp, floor: None }, copy))
    }
}

/// The third stage: the timestamp is known, the snapshot that it names is next.
#[derive(Clone, Debug)]
pub struct Snapshots {
    root: Verified<Root>,
    now: Time,
    timestamp: Verified<Timestamp>,
    floor: Option<Verified<Snapshot>>,
}

impl Snapshots {
    /// The snapshot that is wanted.
    #[must_use]
    pub fn wanted(&self) -> &MetaFile {
        &self.timestamp.snapshot
    }

    /// The root that was settled on.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The stored snapshot, as a floor, and if it still is the one that is wanted, as the one to
    /// use ([`Snapshots::reuse`]). One that does not verify any more is neither.
    pub fn floor(&mut self, stored: &[u8]) -> Result<(), Refusal> {
        self.floor = Some(verified(&self.root, stored)?);
        Ok(())
    }

    /// The next stage without receiving anything, where the stored snapshot is the wanted one.
    pub fn reuse(&self, stored: &[u8]) -> Result<Trusted, Refusal> {
        self.clone().accept(stored)
    }

    /// The snapshot just received.
    pub fn accept(self, received: &[u8]) -> Result<Trusted, Refusal> {
        let wanted = &self.timestamp.snapshot;
        wanted.check(Snapshot::TYPE, received)?;
        let snapshot: Verified<Snapshot> = verified(&self.root, received)?;
        check_version(Snapshot::TYPE, wanted.version, snapshot.head.version)?;
        if let Some(floor) = &self.floor {
            check_floor(Snapshot::TYPE, floor.head.version, snapshot.head.version)?;
            snapshot.check_floor(floor)?;
        }
        check_expiry(Snapshot::TYPE, &snapshot.head, self.now)?;
        Ok(Trusted { root: self.root, now: self.now, timestamp: self.timestamp, snapshot })
    }
}

/// The last stage: one moment of the repository, of which targets roles are read as needed.
#[derive(Clone, Debug)]
pub struct Trusted {
    root: Verified<Root>,
    now: Time,
    timestamp: Verified<Timestamp>,
    snapshot: Verified<Snapshot>,
}

/// Whose word it is that a targets role is to be trusted.
#[derive(Clone, Copy, Debug)]
pub enum Delegator<'a> {
    /// Root, which appoints the top-level `targets`.
    Root,
    /// A role that delegates to it.
    Role(&'a Verified<Targets>),
}

impl Trusted {
    /// The root.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The timestamp.
    #[must_use]
    pub fn timestamp(&self) -> &Verified<Timestamp> {
        &self.timestamp
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Verified<Snapshot> {
        &self.snapshot
    }

    /// The time of this run.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// What the snapshot says of a role; a role that it does not know is not trusted.
    pub fn wanted(&self, role: &str) -> Result<&MetaFile, Refusal> {
        self.snapshot.role(role).ok_or_else(|| Refusal::NotInSnapshot { role: role.to_owned() })
    }

    /// A targets role, stored or received, on the word of `delegator`.
    pub fn role(
        &self,
        role: &str,
        delegator: Delegator<'_>,
        bytes: &[u8],
    ) -> Result<Verified<Targets>, Refusal> {
        let targets = self.role_of_any_age(role, delegator, bytes)?;
        check_expiry(role, &targets.head, self.now)?;
        Ok(targets)
    }

    /// The same, though it may have expired: for whoever looks at what it vouches for, and uses none of it.
    pub fn role_of_any_age(
        &self,
        role: &str,
        delegator: Delegator<'_>,
        bytes: &[u8],
    ) -> Result<Verified<Targets>, Refusal> {
        let wanted = self.wanted(role)?;
        wanted.check(role, bytes)?;
        let targets = self.verify_role(role, delegator, Unverified::parse(bytes)?)?;
        check_version(role, wanted.version, targets.head.version)?;
        Ok(targets)
    }

    fn verify_role(
        &self,
        role: &str,
        delegator: Delegator<'_>,
        unverified: Unverified<Targets>,
    ) -> Result<Verified<Targets>, Refusal> {
        let nobody = Refusal::Signatures { role: role.to_owned(), signed: 0, threshold: 1 };
        let (keys, who): (&Keys, &RoleKeys) = match delegator {
            Delegator::Root => (&self.root.keys, self.root.role(role).ok_or(nobody)?),
            Delegator::Role(targets) => {
                let Some(Delegations { keys, roles, .. }) = &targets.delegations else {
                    return Err(nobody);
                };
                (keys, &roles.iter().find(|one| one.name == role).ok_or(nobody)?.keys)
            }
        };
        who.verify(role, keys, unverified)
    }

    /// Whether `bytes` is a good snapshot of `version` that could follow this one: one that a
    /// publisher made, but whose timestamp is not there yet.
    pub fn successor(&self, version: u64, bytes: &[u8]) -> Result<Verified<Snapshot>, Refusal> {
        let next: Verified<Snapshot> = verified(&self.root, bytes)?;
        check_version(Snapshot::TYPE, version, next.head.version)?;
        check_floor(Snapshot::TYPE, self.snapshot.head.version, next.head.version)?;
        next.check_floor(&self.snapshot)?;
        check_expiry(Snapshot::TYPE, &next.head, self.now)?;
        Ok(next)
    }
}

/// The keys of a root for itself; a root that was read has all four roles.
fn root_role(root: &Root) -> &RoleKeys {
    root.role(Root::TYPE).expect("reading a root makes sure of its four roles")
}

/// A file of one of the top-level roles that are named after their type.
fn verified<T: Signed>(root: &Root, bytes: &[u8]) -> Result<Verified<T>, Refusal> {
    let role = root.role(T::TYPE).expect("reading a root makes sure of its four roles");
    role.verify(T::TYPE, &root.keys, Unverified::parse(bytes)?)
}

fn check_version(role: &str, expected: u64, found: u64) -> Result<(), Refusal> {
    if expected == found {
        return Ok(());
    }
    Err(Refusal::Version { role: role.to_owned(), expected, found })
}

fn check_floor(role: &str, trusted: u64, found: u64) -> Result<(), Refusal> {
    if found >= trusted {
        return Ok(());
    }
    Err(Refusal::Rollback { role: role.to_owned(), trusted, found })
}

fn check_expiry(role: &str, head: &Head, now: Time) -> Result<(), Refusal> {
    if head.expires > now {
        return Ok(());
    }
    Err(Refusal::Expired { role: role.to_owned(), expires: head.expires, now })
}
