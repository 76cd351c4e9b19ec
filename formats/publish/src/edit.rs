//! From edits to signed files: an [`Editor`] makes unsigned [`Document`]s, [`sign`] adds the
//! signatures of the keys that are here, [`seal`] makes of them and a snapshot what is published.
//!
//! Nothing here reads or writes the repository; unknown fields of edited metadata stay in it.

use std::collections::BTreeMap;

use cutover_formats::channel::Pointer;
use cutover_formats::digest::Digest;
use cutover_formats::tuf::draft::{Draft, Need};
use cutover_formats::tuf::fields::Hashes;
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::metadata::{Head, Signed as MetadataKind};
use cutover_formats::tuf::pending::Document;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::snapshot::{MetaFile, Snapshot};
use cutover_formats::tuf::targets::{Target, Targets};
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_formats::tuf::trusted::Trusted;
use cutover_formats::tuf::verify::RoleKeys;
use jiff::{SignedDuration, Timestamp as Time};

use super::keyring::{KeyRole, Keyring, Signing};
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
        /// What it says, where the channel must not point at a newer version by then.
        forward: Option<Pointer>,
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

/// Targets roles of a repository, being edited.
pub(super) struct Editor {
    now: Time,
    roles: BTreeMap<String, Targets>,
}

impl Editor {
    pub(super) fn new(now: Time) -> Self {
        Self { now, roles: BTreeMap::new() }
    }

    /// A role, to be changed; `targets` is what it says now.
    pub(super) fn role(&mut self, role: &str, targets: &Targets) -> &mut Targets {
        self.roles.entry(role.to_owned()).or_insert_with(|| targets.clone())
    }

    /// Applies an edit to the role that answers for its path.
    pub(super) fn apply(&mut self, edit: &Edit, role: &str, targets: &Targets) {
        let targets = &mut self.role(role, targets).targets;
        targets.insert(edit.path().to_owned(), edit.target().clone());
    }

    /// The roles that were edited, with the versions they have now.
    pub(super) fn edited(&self) -> impl Iterator<Item = (&str, u64)> {
        self.roles.iter().map(|(role, targets)| (role.as_str(), targets.head.version))
    }

    /// Everything that is going to be signed, but for snapshot and timestamp.
    pub(super) fn finish(self, versions: &BTreeMap<String, u64>) -> Vec<Document> {
        let expires = in_days(self.now, OFFLINE_DAYS);
        let documents = self.roles.into_iter().map(|(role, mut targets)| {
            let base = targets.head.version;
            let version = versions.get(&role).copied().unwrap_or(base + 1);
            targets.head = Head::new(version, expires);
            Document::new(role, base, Draft::new(&targets))
        });
        documents.collect()
    }
}

/// Files, ready to be published.
pub(super) struct Signed {
    /// Changed roles: where they go, and their bytes.
    pub(super) roles: Vec<(String, Vec<u8>)>,
    /// The snapshot: where it goes, and its bytes.
    pub(super) snapshot: (String, Vec<u8>),
    /// The bytes of the timestamp.
    pub(super) timestamp: Vec<u8>,
    /// A new root, if there is one.
    pub(super) root: Option<NewRoot>,
}

/// A root that is published with the rest.
pub(super) struct NewRoot {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) order: Order,
}

/// When readers are to see a new root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Old keys have signed everything else as well: readers see that first, and never notice.
    Last,
    /// They are gone: for the moment between root and timestamp readers refuse what they see.
    First,
}

/// Signs what the online keys sign, so that `documents` can be published.
pub(super) fn seal(
    keyring: &Keyring,
    trusted: &Trusted,
    documents: &[Document],
    version: u64,
    now: Time,
) -> Result<Signed, PublishError> {
    let is_root = |document: &&Document| document.role == Root::TYPE;
    let next = documents.iter().find(is_root).map(|root| root.draft.read::<Root>()).transpose()?;
    let roots = (&**trusted.root(), next.as_ref());
    let mut snapshot = (**trusted.snapshot()).clone();
    let others: Vec<_> = documents.iter().filter(|one| !is_root(one)).collect();
    for document in &others {
        let file = format!("{}.json", document.role);
        let unknown = snapshot.meta.get(&file).map(|meta| meta.unknown.clone());
        let unknown = unknown.unwrap_or_default();
        snapshot.meta.insert(file, MetaFile { unknown, ..MetaFile::version(document.version()) });
    }
    snapshot.head = Head::new(version, in_days(now, SNAPSHOT_DAYS));
    // At once, so that they are decrypted in parallel.
    keyring.holders(&[Snapshot::TYPE, Timestamp::TYPE])?;
    let snapshot = online(keyring, roots, &snapshot)?;
    let bytes = snapshot.draft.to_bytes();
    let timestamp = timestamp_after(trusted.timestamp(), (version, &bytes), now);
    let timestamp = online(keyring, roots, &timestamp)?;
    let overlaps = others.iter().copied().chain([&snapshot, &timestamp]).all(Document::overlaps);
    let order = if overlaps { Order::Last } else { Order::First };
    let root = documents.iter().find(is_root).map(|root| {
        let (path, bytes) = (metadata(Root::TYPE, root.version()), root.draft.to_bytes());
        NewRoot { path, bytes, order }
    });
    let roles = others.iter().map(|one| (metadata(&one.role, one.version()), one.draft.to_bytes()));
    Ok(Signed {
        roles: roles.collect(),
        snapshot: (metadata(Snapshot::TYPE, version), bytes),
        timestamp: timestamp.draft.to_bytes(),
        root,
    })
}

/// The timestamp after `last`, that names a snapshot, signed.
pub(super) fn next_timestamp(
    keyring: &Keyring,
    root: &Root,
    last: &Timestamp,
    snapshot: (u64, &[u8]),
    now: Time,
) -> Result<Vec<u8>, PublishError> {
    let next = timestamp_after(last, snapshot, now);
    Ok(online(keyring, (root, None), &next)?.draft.to_bytes())
}

fn timestamp_after(last: &Timestamp, (version, bytes): (u64, &[u8]), now: Time) -> Timestamp {
    Timestamp {
        head: Head::new(last.head.version.saturating_add(1), in_days(now, TIMESTAMP_DAYS)),
        snapshot: snapshot_meta(version, bytes, last.snapshot.unknown.clone()),
        unknown: last.unknown.clone(),
    }
}

/// Signs for a role whose keys are at hand: for the root as it is and as it is going to be.
fn online<T: MetadataKind>(
    keyring: &Keyring,
    (root, next): (&Root, Option<&Root>),
    signed: &T,
) -> Result<Document, PublishError> {
    let need = |root: &Root| Need::new(&root.keys, top_level(root, T::TYPE));
    let mut document = Document::new(T::TYPE.to_owned(), 0, Draft::new(signed));
    document.needs = vec![need(next.unwrap_or(root))];
    document.overlap = next.map(|_| need(root)).into_iter().collect();
    sign(keyring, std::slice::from_mut(&mut document))?;
    if document.is_signed() { Ok(document) } else { Err(lacking(keyring, &document)) }
}

/// Adds the signatures of all keys that are here and asked for; how many that were.
pub(super) fn sign(keyring: &Keyring, documents: &mut [Document]) -> Result<usize, PublishError> {
    let roles: Vec<_> = documents.iter().map(|one| one.role.clone()).collect();
    // All at once, so that they are decrypted in parallel.
    keyring.holders(&roles.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut signed = 0;
    for document in documents {
        let Document { role, needs, overlap, draft, .. } = document;
        for holder in keyring.holders(&[role])? {
            if holder.sign_draft(draft, needs.iter().chain(&*overlap))? == Signing::Signed {
                signed += 1;
            }
        }
    }
    Ok(signed)
}

/// Why the keys that are here do not suffice.
pub(super) fn lacking(keyring: &Keyring, document: &Document) -> PublishError {
    let holders = match keyring.require(&document.role) {
        Ok(holders) => holders,
        Err(error) => return error,
    };
    let Some(need) = document.needs.iter().find(|need| need.missing(&document.draft) > 0) else {
        return PublishError::NoRole { role: document.role.clone(), known: Vec::new() };
    };
    let found = need.signed(&document.draft).len() as u64;
    if found == 0 {
        let file = holders[0].file().to_owned();
        let (role, signs) = (KeyRole::of(&document.role), document.role.clone());
        return PublishError::OtherKey { role, file, signs };
    }
    PublishError::Threshold { role: document.role.clone(), threshold: need.who.threshold, found }
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
