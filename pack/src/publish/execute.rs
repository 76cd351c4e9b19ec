//! Carrying out what was decided and signed.

use cutover_formats::layout;
use cutover_repository::store::{Body, Created, Swapped};

use super::edit::Signed;
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
pub(super) fn execute(
    repo: &Repo<'_>,
    signed: &Signed,
    expected: &[u8],
) -> Result<Outcome, PublishError> {
    for (path, bytes) in &signed.roles {
        if repo.store.create(path, Body::Bytes(bytes))? == Created::Exists {
            (repo.note)(&format!("{path} was taken by another publisher"));
            return Ok(Outcome::Lost);
        }
    }
    let (path, bytes) = &signed.snapshot;
    if repo.store.create(path, Body::Bytes(bytes))? == Created::Exists {
        (repo.note)(&format!("{path} was taken by another publisher"));
        return Ok(Outcome::Lost);
    }
    match repo.store.swap(layout::TIMESTAMP, Some(expected), &signed.timestamp)? {
        Swapped::Done => Ok(Outcome::Visible),
        Swapped::Changed => {
            (repo.note)("the timestamp was replaced by another publisher");
            Ok(Outcome::Committed)
        }
    }
}
