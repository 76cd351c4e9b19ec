//! The difference between two roots.

use super::findings::Findings;
use super::keys::{Listed, appoint, check, unknown};
use crate::tuf::root::Root;

pub(super) fn compare(findings: &mut Findings, before: Option<&Root>, after: &Root) {
    if after.consistent_snapshot != before.is_none_or(|before| before.consistent_snapshot) {
        findings.object(format!("sets consistent_snapshot to {}", after.consistent_snapshot));
    }
    let who: Vec<_> = after.roles.values().map(|role| &role.keys).collect();
    check(findings, before.map(listed), listed(after), &who);
    unknown(findings, "", before.map(|before| &before.unknown), &after.unknown);
    for (name, role) in &after.roles {
        let earlier = before.and_then(|before| before.roles.get(name));
        let at = format!("roles.{name}.");
        unknown(findings, &at, earlier.map(|role| &role.unknown), &role.unknown);
        let earlier = before.zip(earlier).map(|(root, role)| (listed(root), &role.keys));
        appoint(findings, name, earlier, (listed(after), &role.keys));
    }
}

fn listed(root: &Root) -> Listed<'_> {
    Listed { keys: &root.keys, unknown: &root.unknown }
}
