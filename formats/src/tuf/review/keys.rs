//! Keys, whose they are, and fields that nobody here knows: alike in root and in delegations.

use std::collections::BTreeSet;

use super::difference::text;
use super::findings::Findings;
use super::{Difference, ShownKey};
use crate::tuf::json::{Json, Object};
use crate::tuf::key::{Key, Keys};
use crate::tuf::names::{KEY_NAMES, of_key};
use crate::tuf::verify::RoleKeys;

/// Keys by id, and the fields beside them.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a> {
    pub(super) keys: &'a Keys,
    pub(super) unknown: &'a Object,
}

impl Listed<'_> {
    fn shown(&self, id: &str) -> ShownKey {
        let key = self.keys.get(id);
        let public = key.map(|key| key.public_hex().unwrap_or_else(|| text(&key.to_json())));
        ShownKey {
            id: key.map_or_else(|| id.to_owned(), Key::id),
            public: public.unwrap_or_default(),
            owner: of_key(self.unknown, id).map(str::to_owned),
        }
    }
}

/// Objects to keys that are not what they are called, that sign for nothing, or that are missing.
pub(super) fn check(
    findings: &mut Findings,
    before: Option<Listed<'_>>,
    after: Listed<'_>,
    who: &[&RoleKeys],
) {
    let used: BTreeSet<_> = who.iter().flat_map(|who| &who.keyids).collect();
    for (id, key) in after.keys {
        let is_ours =
            || key.public_hex().and_then(|hex| Key::from_text(&hex)).as_ref() == Some(key);
        if before.is_some_and(|before| before.keys.get(id) == Some(key)) {
            continue;
        }
        if !used.contains(id) {
            findings.object(format!("lists the key {id}, which signs for nothing"));
        }
        if key.id() != *id {
            findings.object(format!("lists a key as {id}, and its id is {}", key.id()));
        } else if !is_ours() {
            findings.object(format!("the key {id} is not an ed25519 key as pack writes it"));
        }
    }
    for id in used.iter().filter(|id| !after.keys.contains_key(**id)) {
        findings.object(format!("appoints the key {id}, which it does not list"));
    }
    for who in who.iter().filter(|who| who.threshold > who.keyids.len() as u64) {
        let (threshold, count) = (who.threshold, who.keyids.len());
        findings.object(format!("{threshold} signatures of {count} keys cannot be"));
    }
    owners(findings, before, after);
}

fn owners(findings: &mut Findings, before: Option<Listed<'_>>, after: Listed<'_>) {
    let is_name = |(id, name): (&String, &Json)| {
        after.keys.contains_key(id) && matches!(name, Json::String(_))
    };
    match after.unknown.get(KEY_NAMES) {
        None => {}
        Some(Json::Object(names)) if !names.is_empty() && names.iter().all(is_name) => {}
        Some(_) => findings.object(format!("{KEY_NAMES} holds more than names of its keys")),
    }
    let Some(before) = before else { return };
    // Names of keys that come and go are shown with them.
    for id in after.keys.keys().filter(|id| before.keys.contains_key(*id)) {
        let name = |listed: Listed<'_>| of_key(listed.unknown, id).map(str::to_owned);
        let (before, after) = (name(before), name(after));
        if before != after {
            findings.show(Difference::Owner { id: id.clone(), before, after });
        }
    }
}

/// Shows who signs for a role that did not before, or no more, and how many must.
pub(super) fn appoint(
    findings: &mut Findings,
    role: &str,
    before: Option<(Listed<'_>, &RoleKeys)>,
    (listed, after): (Listed<'_>, &RoleKeys),
) {
    let keys = after.keyids.len() as u64;
    let sizes = before.map(|(_, before)| (before.threshold, before.keyids.len() as u64));
    if sizes != Some((after.threshold, keys)) {
        let before = sizes.map(|(threshold, _)| threshold);
        let role = role.to_owned();
        findings.show(Difference::Threshold { role, before, after: after.threshold, keys });
    }
    let had = |id: &&String| before.is_some_and(|(_, before)| before.keyids.contains(id));
    for id in after.keyids.iter().filter(|id| !had(id)) {
        let (role, key) = (role.to_owned(), listed.shown(id));
        findings.show(Difference::KeyAdded { role, key });
    }
    let Some((listed, before)) = before else { return };
    for id in before.keyids.iter().filter(|id| !after.keyids.contains(id)) {
        let (role, key) = (role.to_owned(), listed.shown(id));
        findings.show(Difference::KeyRemoved { role, key });
    }
}

/// Objects to fields that `pack` does not write and that were not there, just so, before. Without a
/// base they are shown.
pub(super) fn unknown(findings: &mut Findings, at: &str, before: Option<&Object>, after: &Object) {
    let Some(before) = before else {
        for (name, value) in after.iter().filter(|(name, _)| *name != KEY_NAMES) {
            let (at, value) = (format!("{at}{name}"), text(value));
            findings.show(Difference::Field { at, value });
        }
        return;
    };
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names.into_iter().filter(|name| *name != KEY_NAMES) {
        if before.get(name) != after.get(name) {
            findings.object(format!("changes the field {at}{name}, which pack does not write"));
        }
    }
}
