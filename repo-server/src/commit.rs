//! What an upload would make visible, verified before it is taken.
//!
//! Readers see what `timestamp.json` names, and follow every root that is there. Somebody with a token but
//! without the keys could otherwise leave them with a repository that they refuse, or put back an older
//! state of it. So a root has to follow those before it; a snapshot has to be signed; and a timestamp is taken
//! if a client that knew the one before would take it, with its snapshot, and every role in that which is new,
//! or is newly vouched for, would be trusted, and every file that such a role adds is there. The newest root
//! of the store is what all is held against. Readers verify everything again: this server is not trusted.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

use cutover_formats::layout;
use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::metadata::{Signed as _, Unverified, Verified};
use cutover_formats::tuf::names;
use cutover_formats::tuf::refusal::Refusal;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::snapshot::Snapshot;
use cutover_formats::tuf::targets::Targets;
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_formats::tuf::trusted::{Copy, Delegator, Roots, Snapshots, Trusted};
use cutover_repository::client::caps;
use cutover_repository::store::{Read, StoreError};
use jiff::Timestamp as Time;

use crate::visible::Visible;

/// Most steps from one role to another.
const MOST_EDGES: usize = 4096;

/// Why it is not taken.
#[derive(Debug)]
pub(crate) enum Objection {
    /// A client would not take this file.
    Untrusted { file: String, why: String },
    /// The version does not rise.
    Stale { old: u64, new: u64 },
    /// The store failed.
    Failed(StoreError),
}

impl From<StoreError> for Objection {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Who vouches for a role: its name and version; and for which version of which role.
type Edge = (String, u64, String, u64);
/// A role that delegates to others; `None` for one that does not.
type Delegating = Option<Arc<Verified<Targets>>>;

/// What was verified at the last commit, so that only what is new is read at the next.
#[derive(Debug, Default)]
pub(crate) struct Commits(Mutex<BTreeMap<Edge, Delegating>>);

/// A root that may follow those that are in the store, or be the first.
pub(crate) fn check_root(store: &dyn Read, version: u64, bytes: &[u8]) -> Result<(), Objection> {
    let file = metadata(Root::TYPE, version);
    if version == 1 {
        return Roots::pinned(bytes).map(drop).map_err(|refusal| untrusted(&file, &refusal));
    }
    let mut roots = roots(store)?;
    if version < roots.next_version() {
        // It is there, and stays: somebody was faster.
        return Ok(());
    }
    if version > roots.next_version() {
        let why = format!("the next root is version {}", roots.next_version());
        return Err(Objection::Untrusted { file, why });
    }
    roots.step(bytes).map(drop).map_err(|refusal| untrusted(&file, &refusal))
}

/// A snapshot that the newest root's keys have signed.
pub(crate) fn check_snapshot(
    store: &dyn Read,
    version: u64,
    bytes: &[u8],
) -> Result<(), Objection> {
    let roots = roots(store)?;
    let (root, file) = (roots.root(), metadata(Snapshot::TYPE, version));
    let signed = || {
        let unverified = Unverified::<Snapshot>::parse(bytes)?;
        let role = root.role(Snapshot::TYPE);
        let nobody = || Refusal::NotInSnapshot { role: Snapshot::TYPE.to_owned() };
        role.ok_or_else(nobody)?.verify(Snapshot::TYPE, &root.keys, unverified)
    };
    let found = signed().map_err(|refusal| untrusted(&file, &refusal))?.head.version;
    if found == version {
        return Ok(());
    }
    Err(Objection::Untrusted { file, why: format!("it says that it is version {found}") })
}

impl Commits {
    /// Whether the timestamp `new` may take the place of `old`; what it names that `old` did not.
    pub(crate) fn check(
        &self,
        store: &dyn Read,
        old: Option<&[u8]>,
        new: &[u8],
        now: Time,
    ) -> Result<Visible, Objection> {
        let before = Before::of(store, old);
        let trusted = settle(store, &before, new, now)?;
        let mut named = Visible::default();
        named.role(Snapshot::TYPE, trusted.snapshot().head.version);
        let walked = self.walk(store, &trusted, &before, &mut named)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = walked;
        Ok(named)
    }

    /// Verifies every role that can be reached.
    fn walk(
        &self,
        store: &dyn Read,
        trusted: &Trusted,
        before: &Before,
        named: &mut Visible,
    ) -> Result<BTreeMap<Edge, Delegating>, Objection> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut walked = BTreeMap::new();
        let root = trusted.root().head.version;
        let mut open: Vec<(Delegating, String, u64, String)> =
            vec![(None, Root::TYPE.to_owned(), root, Targets::TYPE.to_owned())];
        while let Some((delegator, by, by_version, role)) = open.pop() {
            // What the snapshot does not speak of nobody trusts, or sees.
            let version = match trusted.wanted(&role) {
                Ok(wanted) => wanted.version,
                Err(refusal) if role == Targets::TYPE => {
                    return Err(untrusted(layout::TIMESTAMP, &refusal));
                }
                Err(_) => continue,
            };
            let edge = (by.clone(), by_version, role.clone(), version);
            if walked.contains_key(&edge) {
                continue;
            }
            let found = match known.get(&edge) {
                Some(known) => known.clone(),
                None => {
                    let is_new = !before.has(&role, version) || !before.has(&by, by_version);
                    match look(store, trusted, delegator.as_deref(), &role, before, named) {
                        Ok(found) => found,
                        Err(Objection::Untrusted { file, why }) if !is_new => {
                            tracing::warn!("{file}, which was there before, is not trusted: {why}");
                            continue;
                        }
                        Err(objection) => return Err(objection),
                    }
                }
            };
            if let Some(delegating) = &found {
                open.extend(
                    delegating
                        .delegated()
                        .iter()
                        .map(|one| (found.clone(), role.clone(), version, one.name.clone())),
                );
            }
            walked.insert(edge, found);
            if walked.len() > MOST_EDGES {
                let why = format!("it leads to more than {MOST_EDGES} roles");
                return Err(Objection::Untrusted { file: layout::TIMESTAMP.to_owned(), why });
            }
        }
        Ok(walked)
    }
}

/// What is visible now, as far as it can be read.
struct Before {
    timestamp: Option<Vec<u8>>,
    snapshot: Option<Vec<u8>>,
    versions: BTreeMap<String, u64>,
}

impl Before {
    fn of(store: &dyn Read, timestamp: Option<&[u8]>) -> Self {
        let draft = timestamp.and_then(|bytes| Draft::from_bytes(bytes).ok());
        let named = draft.and_then(|draft| draft.read::<Timestamp>().ok());
        let snapshot = named.and_then(|timestamp| {
            let path = metadata(Snapshot::TYPE, timestamp.snapshot.version);
            store.get(&path, caps::SNAPSHOT).ok()
        });
        let draft = snapshot.as_ref().and_then(|bytes| Draft::from_bytes(bytes).ok());
        let meta = draft.and_then(|draft| draft.read::<Snapshot>().ok()).map(|one| one.meta);
        let versions = meta.into_iter().flatten().map(|(file, meta)| {
            (file.strip_suffix(".json").unwrap_or(&file).to_owned(), meta.version)
        });
        Self { timestamp: timestamp.map(Into::into), versions: versions.collect(), snapshot }
    }

    fn has(&self, role: &str, version: u64) -> bool {
        self.versions.get(role) == Some(&version)
    }

    /// What a role vouches for now.
    fn role(&self, store: &dyn Read, role: &str) -> Option<Targets> {
        let path = metadata(role, *self.versions.get(role)?);
        Draft::from_bytes(&store.get(&path, caps::TARGETS).ok()?).ok()?.read().ok()
    }
}

/// Root, timestamp and snapshot, as a client takes them that knows what was there before.
fn settle(store: &dyn Read, before: &Before, new: &[u8], now: Time) -> Result<Trusted, Objection> {
    let roots = roots(store)?;
    let file = metadata(Root::TYPE, roots.root().head.version);
    let mut timestamps = roots.finish(now).map_err(|refusal| untrusted(&file, &refusal))?;
    if !timestamps.root().consistent_snapshot {
        let why =
            "without consistent snapshots readers look for files that this server does not take";
        return Err(Objection::Untrusted { file, why: why.to_owned() });
    }
    if let Some(old) = &before.timestamp {
        // One that does not verify is no floor, as for clients: its keys were replaced.
        let _ = timestamps.floor(old);
    }
    let version =
        |bytes: &[u8]| Draft::from_bytes(bytes).ok()?.head().ok().map(|head| head.version);
    let stale = || {
        let old = before.timestamp.as_deref().and_then(version).unwrap_or_default();
        Objection::Stale { old, new: version(new).unwrap_or_default() }
    };
    let (mut snapshots, copy): (Snapshots, Copy) =
        timestamps.accept(new).map_err(|refusal| match refusal {
            Refusal::Rollback { role, .. } if role == Timestamp::TYPE => stale(),
            refusal => untrusted(layout::TIMESTAMP, &refusal),
        })?;
    if copy == Copy::Stored {
        return Err(stale());
    }
    if let Some(snapshot) = &before.snapshot {
        let _ = snapshots.floor(snapshot);
    }
    let path = metadata(Snapshot::TYPE, snapshots.wanted().version);
    let bytes = needed(store, &path, caps::SNAPSHOT)?;
    snapshots.accept(&bytes).map_err(|refusal| untrusted(&path, &refusal))
}

/// Verifies a role and that what it adds is there; gives it if it delegates.
fn look(
    store: &dyn Read,
    trusted: &Trusted,
    delegator: Option<&Verified<Targets>>,
    role: &str,
    before: &Before,
    named: &mut Visible,
) -> Result<Delegating, Objection> {
    let delegator = delegator.map_or(Delegator::Root, Delegator::Role);
    let version = trusted.wanted(role).map_err(|refusal| untrusted(role, &refusal))?.version;
    let path = metadata(role, version);
    let bytes = needed(store, &path, caps::TARGETS)?;
    let targets = match before.has(role, version) {
        // If time has gone by meanwhile, that is none of this commit's doing; what it adds below, is.
        true => trusted.role_of_any_age(role, delegator, &bytes),
        false => trusted.role(role, delegator, &bytes),
    };
    let targets = targets.map_err(|refusal| untrusted(&path, &refusal))?;
    if !before.has(role, version) {
        let already = before.role(store, role).map(|role| role.targets).unwrap_or_default();
        let mut added = (*targets).clone();
        added
            .targets
            .retain(|path, file| already.get(path).is_none_or(|one| one.hashes != file.hashes));
        for (target, file) in &added.targets {
            if let Some(sha256) = file.hashes.sha256 {
                is_there(store, &layout::stored(target, sha256), file.length)?;
            }
        }
        named.role(role, version);
        if let Err(error) = named.targets(store, &added) {
            tracing::warn!("not all is known that this commit names: {error}");
        }
    }
    Ok((!targets.delegated().is_empty()).then(|| Arc::new(targets)))
}

/// Refuses where there is no such file, or one of another length.
fn is_there(store: &dyn Read, path: &str, length: u64) -> Result<(), Objection> {
    let mut end = Vec::new();
    let read = store.stream(path, length.saturating_sub(1), 2).and_then(|mut stream| {
        stream.read_to_end(&mut end).map_err(|error| StoreError::from_stream(path, error))
    });
    let missing = |why: &str| Objection::Untrusted { file: path.to_owned(), why: why.to_owned() };
    match read {
        Ok(found) if found as u64 == length.min(1) => Ok(()),
        Ok(_) => Err(missing("it has another length than was signed")),
        Err(error) if error.is_not_found() => Err(missing("it is not there")),
        Err(error) => Err(error.into()),
    }
}

/// The chain of roots in the store.
fn roots(store: &dyn Read) -> Result<Roots, Objection> {
    let first = needed(store, layout::FIRST_ROOT, caps::ROOT)?;
    let mut roots =
        Roots::pinned(&first).map_err(|refusal| untrusted(layout::FIRST_ROOT, &refusal))?;
    loop {
        let path = metadata(Root::TYPE, roots.next_version());
        match store.get(&path, caps::ROOT) {
            Ok(bytes) => roots.step(&bytes).map_err(|refusal| untrusted(&path, &refusal))?,
            Err(error) if error.is_not_found() => return Ok(roots),
            Err(error) => return Err(error.into()),
        };
    }
}

fn needed(store: &dyn Read, path: &str, cap: u64) -> Result<Vec<u8>, Objection> {
    store.get(path, cap).map_err(|error| match error {
        StoreError::NotFound { .. } => {
            Objection::Untrusted { file: path.to_owned(), why: "it is not there".to_owned() }
        }
        error => error.into(),
    })
}

fn untrusted(file: &str, refusal: &Refusal) -> Objection {
    Objection::Untrusted { file: file.to_owned(), why: refusal.to_string() }
}

fn metadata(role: &str, version: u64) -> String {
    format!("metadata/{}", names::versioned(role, version))
}
