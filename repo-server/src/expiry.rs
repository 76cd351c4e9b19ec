//! When the repository's metadata expires, as it says itself.
//!
//! For people and metrics, not for trust: signatures are not looked at here. All but the timestamp is
//! written once, so that only what is new is read again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cutover_formats::layout;
use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::expiry::warning;
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names;
use cutover_formats::tuf::snapshot::Snapshot;
use cutover_formats::tuf::targets::Targets;
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_repository::client::{RememberedRole, caps};
use cutover_repository::store::Read;
use jiff::Timestamp as Time;

/// What was read so far.
#[derive(Default)]
pub(crate) struct Expiry(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    timestamp: Vec<u8>,
    roles: BTreeMap<String, RememberedRole>,
}

impl Expiry {
    /// Every role that there is, by name. What cannot be read is left out: whoever needs it will say
    /// so.
    pub(crate) fn roles(&self, store: &dyn Read) -> Vec<RememberedRole> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(timestamp) = store.get(layout::TIMESTAMP, caps::TIMESTAMP) else {
            return Vec::new();
        };
        let root = seen.roles.get("root").map_or(1, |root| root.version);
        let newer = store.get(&path("root", root + 1), caps::ROOT).is_ok();
        if seen.timestamp != timestamp || newer {
            seen.roles = read(store, &timestamp, &seen.roles);
            seen.timestamp = timestamp;
        }
        seen.roles.values().cloned().collect()
    }

    /// What is to be said about roles that expire soon, or have expired.
    pub(crate) fn warnings(&self, store: &dyn Read, now: Time) -> Vec<String> {
        let mut roles = self.roles(store);
        // The bins of the releases expire together or nearly so: the first stands for all.
        let is_bin = |role: &RememberedRole| role.name.starts_with("releases-");
        let first = roles.iter().filter(|role| is_bin(role)).min_by_key(|role| role.expires);
        let first = first.map(|bin| bin.name.clone());
        roles.retain(|role| !is_bin(role) || Some(&role.name) == first.as_ref());
        roles.iter().filter_map(|role| warning(&role.name, role.expires, now)).collect()
    }
}

/// Reads all roles of the moment that `timestamp` names, but those that were read `before`.
fn read(
    store: &dyn Read,
    timestamp: &[u8],
    before: &BTreeMap<String, RememberedRole>,
) -> BTreeMap<String, RememberedRole> {
    let file = |name: &str, version| {
        let bytes = store.get(&path(name, version), caps::TARGETS).ok()?;
        Draft::from_bytes(&bytes).ok()
    };
    let remembered = |name: &str, head: Head| RememberedRole {
        name: name.to_owned(),
        version: head.version,
        expires: head.expires,
    };
    let role = |name: &str, version| match before.get(name) {
        Some(known) if known.version == version => Some(known.clone()),
        _ => Some(remembered(name, file(name, version)?.head().ok()?)),
    };
    let mut root = before.get("root").map_or(1, |root| root.version);
    while store.get(&path("root", root + 1), caps::ROOT).is_ok() {
        root += 1;
    }
    let mut roles: Vec<_> = role("root", root).into_iter().collect();
    let timestamp =
        Draft::from_bytes(timestamp).ok().and_then(|file| file.read::<Timestamp>().ok());
    let snapshot = timestamp.and_then(|timestamp| {
        roles.push(remembered("timestamp", timestamp.head));
        file("snapshot", timestamp.snapshot.version)?.read::<Snapshot>().ok()
    });
    if let Some(snapshot) = snapshot {
        // A channel that was removed stays in the snapshot, but is no concern any more.
        let top = snapshot.meta.get("targets.json").and_then(|meta| file("targets", meta.version));
        let top = top.and_then(|top| top.read::<Targets>().ok());
        let is_there = |name: &str| {
            let delegated = top.iter().flat_map(|top| top.delegated());
            !name.starts_with("channel-") || delegated.into_iter().any(|role| role.name == name)
        };
        let named = snapshot.meta.iter();
        let named =
            named.filter_map(|(file, meta)| Some((file.strip_suffix(".json")?, meta.version)));
        roles.extend(
            named
                .filter(|(name, _)| is_there(name))
                .filter_map(|(name, version)| role(name, version)),
        );
        roles.push(remembered("snapshot", snapshot.head));
    }
    roles.into_iter().map(|role| (role.name.clone(), role)).collect()
}

fn path(role: &str, version: u64) -> String {
    format!("metadata/{}", names::versioned(role, version))
}
