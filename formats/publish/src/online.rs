//! Who holds the online keys and stays on: signs snapshot and timestamp anew before they expire.

use jiff::{SignedDuration, Timestamp as Time};

use super::edit::{SNAPSHOT_DAYS, TIMESTAMP_DAYS};
use super::keyring::{KeyRole, Keyring};
use super::{PublishError, Repo, refresh, view};

/// The roles whose keys are online.
const ROLES: [KeyRole; 2] = [KeyRole::Snapshot, KeyRole::Timestamp];

/// What a look at the repository came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Nothing is due before this moment.
    NotDue(Time),
    /// Both were signed anew, in this version of the snapshot.
    Signed(u64),
}

/// Signs snapshot and timestamp anew, if it is time.
pub fn keep(repo: &Repo<'_>) -> Result<Looked, PublishError> {
    let due = match view(repo) {
        Ok(mut view) => {
            let trusted = view.client.trusted()?;
            due(trusted.timestamp().head.expires, trusted.snapshot().head.expires)
        }
        // What a change of keys left behind when it was interrupted can be read by nobody; refreshing
        // ends it, or says what is wrong.
        Err(PublishError::Trust(_)) => repo.now,
        Err(error) => return Err(error),
    };
    if repo.now < due {
        return Ok(Looked::NotDue(due));
    }
    refresh(repo).map(|done| Looked::Signed(done.snapshot))
}

/// When signatures that hold until then are to be replaced: after a third of their time, so that two
/// thirds are left to mend what keeps us from it.
fn due(timestamp: Time, snapshot: Time) -> Time {
    let before = |expires: Time, days: i64| {
        expires.checked_sub(SignedDuration::from_hours(24 * days * 2 / 3)).unwrap_or(Time::MIN)
    };
    before(timestamp, TIMESTAMP_DAYS).min(before(snapshot, SNAPSHOT_DAYS))
}

/// Refuses keys that a machine which is on should not have as they are: one that is missing, that
/// others can read, or that cannot be opened. Keys of other roles are named, to be moved away.
pub fn check_keys(keyring: &Keyring) -> Result<Vec<KeyRole>, PublishError> {
    keyring.root()?;
    let names = ROLES.map(KeyRole::as_str);
    names.iter().try_for_each(|role| keyring.present(role))?;
    keyring.check_private()?;
    keyring.holders(&names)?;
    let others = KeyRole::ALL.into_iter().filter(|role| !ROLES.contains(role));
    Ok(others.filter(|role| keyring.present(role.as_str()).is_ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_time_goes_by() {
        let at = |text: &str| text.parse::<Time>().unwrap();
        let (long, short) = (at("2027-06-01T00:00:00Z"), at("2027-01-15T00:00:00Z"));
        // 14 days: signed on the first, due 4 days and 16 hours later.
        assert_eq!(due(short, long), at("2027-01-05T16:00:00Z"));
        assert_eq!(due(long, short), at("2026-11-16T00:00:00Z"));
        assert_eq!(due(Time::MIN, long), Time::MIN);
    }
}
