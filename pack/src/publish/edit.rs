//! From edits to signed files, in three types: [`Editor`] → [`Unsigned`] → [`Signed`].
//!
//! Nothing here reads or writes anything; unknown fields of edited metadata stay in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_formats::digest::Digest;
use cutover_formats::keys::{Signer, sign};
use cutover_formats::tuf::fields::Hashes;
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::metadata::{Head, Signed as _};
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::snapshot::{MetaFile, Snapshot};
use cutover_formats::tuf::targets::{Target, Targets};
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_formats::tuf::trusted::Trusted;
use cutover_formats::tuf::verify::RoleKeys;
use jiff::{SignedDuration, Timestamp as Time};

use super::keyring::{KeyRole, Keyring};
use super::{PublishError, metadata};

/// How long signatures of offline and releases keys hold.
pub(super) const OFFLINE_DAYS: i64 = 5 * 365;
/// How long a snapshot holds.
pub(super) const SNAPSHOT_DAYS: i64 = 90;
/// How long a timestamp holds: at most so long a stolen repository can hide what is new.
pub(super) const TIMESTAMP_DAYS: i64 = 14;

/// A change to what a repository says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Vouches for a file that nobody vouched for before, for ever.
    AddTarget {
        /// Its target path.
        path: String,
        /// Its length, digests, and what is said of it.
        target: Target,
    },
    /// Lets a channel point elsewhere.
    SetChannel {
        /// The target path of its pointer.
        path: String,
        /// The new pointer.
        target: Target,
    },
}

impl Edit {
    pub(super) fn path(&self) -> &str {
        match self {
            Self::AddTarget { path, .. } | Self::SetChannel { path, .. } => path,
        }
    }

    pub(super) fn target(&self) -> &Target {
        match self {
            Self::AddTarget { target, .. } | Self::SetChannel { target, .. } => target,
        }
    }
}

/// `days` from now on, in whole seconds, as metadata has them.
pub(super) fn in_days(now: Time, days: i64) -> Time {
    let later = now.as_second().saturating_add(SignedDuration::from_hours(24 * days).as_secs());
    Time::from_second(later).unwrap_or(Time::MAX)
}

/// A moment of the repository, being edited.
pub(super) struct Editor {
    now: Time,
    root: Root,
    snapshot: Snapshot,
    timestamp: Timestamp,
    roles: BTreeMap<String, (Targets, RoleKeys)>,
}

/// Which version everything that changes is going to have.
pub(super) struct Versions {
    pub(super) snapshot: u64,
    pub(super) roles: BTreeMap<String, u64>,
}

impl Editor {
    pub(super) fn new(trusted: &Trusted, now: Time) -> Self {
        Self {
            now,
            root: (**trusted.root()).clone(),
            snapshot: (**trusted.snapshot()).clone(),
            timestamp: (**trusted.timestamp()).clone(),
            roles: BTreeMap::new(),
        }
    }

    /// Applies an edit to the role that answers for its path: `targets` signed by `keys`.
    pub(super) fn apply(&mut self, edit: &Edit, role: &str, targets: &Targets, keys: &RoleKeys) {
        let editing = self.roles.entry(role.to_owned());
        let (targets, _) = editing.or_insert_with(|| (targets.clone(), keys.clone()));
        targets.targets.insert(edit.path().to_owned(), edit.target().clone());
    }

    /// The roles that were edited, with the versions they have now.
    pub(super) fn edited(&self) -> impl Iterator<Item = (&str, u64)> {
        self.roles.iter().map(|(role, (targets, _))| (role.as_str(), targets.head.version))
    }

    pub(super) fn finish(self, versions: &Versions) -> Unsigned {
        let mut snapshot = self.snapshot;
        let mut roles = Vec::new();
        for (role, (mut targets, keys)) in self.roles {
            let version = versions.roles.get(&role).copied().unwrap_or(targets.head.version + 1);
            targets.head = Head::new(version, in_days(self.now, OFFLINE_DAYS));
            let unknown = snapshot.role(&role).map(|meta| meta.unknown.clone()).unwrap_or_default();
            let meta = MetaFile { unknown, ..MetaFile::version(version) };
            snapshot.meta.insert(format!("{role}.json"), meta);
            roles.push((role, targets, keys));
        }
        snapshot.head = Head::new(versions.snapshot, in_days(self.now, SNAPSHOT_DAYS));
        Unsigned { now: self.now, root: self.root, roles, snapshot, timestamp: self.timestamp }
    }
}

/// Everything that is going to be signed.
pub(super) struct Unsigned {
    now: Time,
    root: Root,
    roles: Vec<(String, Targets, RoleKeys)>,
    snapshot: Snapshot,
    timestamp: Timestamp,
}

/// Files, ready to be published.
pub(super) struct Signed {
    /// Changed roles: where they go, and their bytes.
    pub(super) roles: Vec<(String, Vec<u8>)>,
    /// The snapshot: where it goes, and its bytes.
    pub(super) snapshot: (String, Vec<u8>),
    /// The bytes of the timestamp.
    pub(super) timestamp: Vec<u8>,
}

impl Unsigned {
    pub(super) fn sign(self, keyring: &Keyring) -> Result<Signed, PublishError> {
        let mut wanted = vec![KeyRole::Snapshot, KeyRole::Timestamp];
        wanted.extend(self.roles.iter().map(|(role, ..)| KeyRole::of(role)));
        wanted.sort();
        wanted.dedup();
        // All at once, so that they are decrypted in parallel.
        let _opened = keyring.signers(&wanted)?;
        let mut roles = Vec::new();
        for (role, targets, keys) in &self.roles {
            let signer = signer(keyring, role, keys)?;
            let bytes = sign(targets, [&*signer]);
            roles.push((metadata(role, targets.head.version), bytes));
        }
        let snapshot_signer =
            signer(keyring, Snapshot::TYPE, top_level(&self.root, Snapshot::TYPE))?;
        let bytes = sign(&self.snapshot, [&*snapshot_signer]);
        let version = self.snapshot.head.version;
        let timestamp =
            next_timestamp(keyring, &self.root, &self.timestamp, (version, &bytes), self.now)?;
        Ok(Signed { roles, snapshot: (metadata(Snapshot::TYPE, version), bytes), timestamp })
    }
}

/// The timestamp after `last`, that names a snapshot.
pub(super) fn next_timestamp(
    keyring: &Keyring,
    root: &Root,
    last: &Timestamp,
    (version, bytes): (u64, &[u8]),
    now: Time,
) -> Result<Vec<u8>, PublishError> {
    let signer = signer(keyring, Timestamp::TYPE, top_level(root, Timestamp::TYPE))?;
    let next = Timestamp {
        head: Head::new(last.head.version + 1, in_days(now, TIMESTAMP_DAYS)),
        snapshot: snapshot_meta(version, bytes, last.snapshot.unknown.clone()),
        unknown: last.unknown.clone(),
    };
    Ok(sign(&next, [&*signer]))
}

/// What a timestamp says of a snapshot.
pub(super) fn snapshot_meta(version: u64, bytes: &[u8], unknown: Object) -> MetaFile {
    let (length, hashes) = (bytes.len() as u64, Hashes::sha256(Digest::of(bytes)));
    MetaFile { version, length: Some(length), hashes: Some(hashes), unknown }
}

/// Who signs for a top-level role.
pub(super) fn top_level<'r>(root: &'r Root, role: &str) -> &'r RoleKeys {
    root.role(role).expect("a root that was read has its four roles")
}

/// The one key that signs for `role`, if the repository is content with it.
fn signer(keyring: &Keyring, role: &str, keys: &RoleKeys) -> Result<Arc<Signer>, PublishError> {
    let key = KeyRole::of(role);
    if keys.threshold > 1 {
        let (role, threshold) = (role.to_owned(), keys.threshold);
        return Err(PublishError::Threshold { role, key, threshold });
    }
    let signer = keyring.signers(&[key])?.remove(0);
    if !keys.keyids.iter().any(|keyid| keyid == signer.id()) {
        let (file, signs) = (keyring.file(key), role.to_owned());
        return Err(PublishError::OtherKey { role: key, file, signs });
    }
    Ok(signer)
}
