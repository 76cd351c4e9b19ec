//! Carrying out what was decided and signed.

use cutover_formats::layout;
use cutover_repository::client::caps;
use cutover_repository::store::{Body, Created, Swapped};

use super::edit::{Order, Signed};
use super::{PublishError, Repo};

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Readers see it.
    Visible,
    /// It is committed, but somebody else has replaced the timestamp: it has to be seen whether
    /// theirs names our snapshot.
    Committed,
    /// Another publisher was faster. What was created is not named by anything.
    Lost,
}

/// Creates the roles, then the snapshot, then replaces the timestamp whose bytes are `expected`.
///
/// A new root goes last, or, where what is published is not signed for the old one, before the
/// snapshot: otherwise another publisher could complete that for readers who then refuse it.
pub(super) fn execute(
    repo: &Repo<'_>,
    signed: &Signed,
    expected: &[u8],
) -> Result<Outcome, PublishError> {
    for (path, bytes) in &signed.roles {
        if !create(repo, path, bytes)? {
            return Ok(Outcome::Lost);
        }
    }
    let root = |order| signed.root.as_ref().filter(|root| root.order == order);
    if let Some(first) = root(Order::First)
        && !create(repo, &first.path, &first.bytes)?
    {
        return Ok(Outcome::Lost);
    }
    let (path, bytes) = &signed.snapshot;
    if repo.store.create(path, Body::Bytes(bytes))? == Created::Exists {
        (repo.note)(&format!("{path} was taken by another publisher"));
        return Ok(Outcome::Lost);
    }
    if repo.store.swap(layout::TIMESTAMP, Some(expected), &signed.timestamp)? == Swapped::Changed {
        (repo.note)("the timestamp was replaced by another publisher");
        return Ok(Outcome::Committed);
    }
    match root(Order::Last) {
        Some(last) if !create(repo, &last.path, &last.bytes)? => Ok(Outcome::Lost),
        _ => Ok(Outcome::Visible),
    }
}

/// Creates a file, or finds that it is there already just so: made by us before we were
/// interrupted. Whether it is ours now.
fn create(repo: &Repo<'_>, path: &str, bytes: &[u8]) -> Result<bool, PublishError> {
    if repo.store.create(path, Body::Bytes(bytes))? == Created::New
        || repo.store.get(path, caps::TARGETS)? == bytes
    {
        return Ok(true);
    }
    (repo.note)(&format!("{path} was taken by another publisher"));
    Ok(false)
}
