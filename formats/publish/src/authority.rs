//! Who must sign what, by the word of the repository's trusted metadata and of the change itself.

use std::collections::BTreeMap;

use cutover_formats::tuf::draft::Need;
use cutover_formats::tuf::pending::Document;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::targets::Targets;
use cutover_repository::client::Client;

use super::PublishError;
use super::edit::top_level;

/// Says for each metadata file of a change who must sign it: whoever answers for it once the change
/// is made. A new root needs the keys before it, too. Where the keys of another role change, those
/// before should sign as well, so that readers on their way from one root to the next never notice.
pub(super) fn authorise(
    client: &mut Client<'_>,
    documents: &mut [Document],
) -> Result<(), PublishError> {
    let root = (**client.trusted()?.root()).clone();
    let changed = |role: &str| documents.iter().find(|document| document.role == role);
    let next = changed("root").map(|one| one.draft.read::<Root>()).transpose()?;
    let mut delegators = BTreeMap::new();
    for role in ["targets", "releases"] {
        if let Some(document) = changed(role) {
            delegators.insert(role, document.draft.read::<Targets>()?);
        }
    }
    for document in documents {
        let (before, after) = match document.role.as_str() {
            role @ ("root" | "targets") => {
                let need = |root: &Root| Need::new(&root.keys, top_level(root, role));
                (need(&root), next.as_ref().map(need))
            }
            role => delegated(client, &delegators, role)?,
        };
        let after = after.unwrap_or_else(|| before.clone());
        let is_same = before == after;
        (document.needs, document.overlap) = match document.role.as_str() {
            _ if is_same => (vec![after], Vec::new()),
            "root" => (vec![before, after], Vec::new()),
            _ => (vec![after], vec![before]),
        };
    }
    Ok(())
}

/// Who signs for a delegated role: before the change, and after it where its delegator changes.
fn delegated(
    client: &mut Client<'_>,
    changed: &BTreeMap<&str, Targets>,
    role: &str,
) -> Result<(Need, Option<Need>), PublishError> {
    let unknown = || PublishError::NoRole { role: role.to_owned(), known: Vec::new() };
    let need = |targets: &Targets| {
        let delegations = targets.delegations.as_ref()?;
        let who = delegations.roles.iter().find(|one| one.name == role)?;
        Some(Need::new(&delegations.keys, &who.keys))
    };
    let Some(delegation) = client.delegation(role)? else {
        // A role that begins with this change.
        return Ok((changed.values().find_map(need).ok_or_else(unknown)?, None));
    };
    let before = need(&delegation.delegator).ok_or_else(unknown)?;
    let after = changed.get(delegation.by.as_str());
    Ok((before, after.map(|targets| need(targets).ok_or_else(unknown)).transpose()?))
}
