//! Looks after the repository, on a thread of its own: warns before metadata expires, and with the online keys
//! signs snapshot and timestamp anew in time; sweeps what was uploaded and never named.
//!
//! It is one more publisher: it meets others at the snapshot's create-if-absent and the timestamp's
//! compare-and-swap, as they meet each other, also those that come over HTTP.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::secret::Secret;
use cutover_publish::keyring::Keyring;
use cutover_publish::online::{Looked, check_keys, keep};
use cutover_publish::{PATIENCE, PublishError, Repo};
use cutover_terminal::Failure;
use jiff::{SignedDuration, Timestamp};

use crate::site::Site;

/// The longest time between two looks: a clock that is set, and a repository that others change,
/// are noticed.
const MOST: Duration = Duration::from_secs(3600);
/// The time until the next look after one that changed something, or failed.
const AGAIN: Duration = Duration::from_secs(300);
/// Warnings are repeated this often.
const REPEAT: SignedDuration = SignedDuration::from_hours(24);
/// Where the passphrase is.
const VARIABLE: &str = "CUTOVER_PASSPHRASE";

/// Opens the online keys in `folder`; fails where they could not be signed with later.
pub(crate) fn open(folder: &Path) -> Result<Keyring, Failure> {
    let passphrase = || {
        let given = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        given.map(Secret::new).ok_or_else(|| format!("{VARIABLE} is not set"))
    };
    let keyring = Keyring::new(folder.to_owned(), Box::new(passphrase));
    if !folder.is_dir() {
        let message = format!("there is no folder of online keys at {}", folder.display());
        return Err(Failure::new(Exit::Usage, message)
            .hint("it holds root.json, snapshot.pem and timestamp.pem, each with mode 0600"));
    }
    for role in check_keys(&keyring)? {
        let folder = folder.display();
        tracing::warn!(
            "{folder} holds the {role} key, which does not belong on a machine that is on"
        );
    }
    Ok(keyring)
}

/// Looks again and again, until the other end of `stop` is gone.
pub(crate) fn run(site: &Arc<Site>, keyring: Option<&Keyring>, stop: &Receiver<()>) {
    let mut warned = None;
    loop {
        let now = Timestamp::now();
        site.sweep();
        let wait = keyring.map_or(MOST, |keyring| look(site, keyring, now));
        if warned.is_none_or(|last: Timestamp| now.duration_since(last) >= REPEAT) {
            site.expiry.warnings(&site.store, now).iter().for_each(|line| tracing::warn!("{line}"));
            warned = Some(now);
        }
        if stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Signs anew if it is time; how long until the next look.
fn look(site: &Site, keyring: &Keyring, now: Timestamp) -> Duration {
    let note = |line: &str| tracing::info!("{line}");
    let repo = Repo { store: &site.store, keyring, now, patience: PATIENCE, note: &note };
    match keep(&repo) {
        Ok(Looked::NotDue(due)) => {
            tracing::debug!("snapshot and timestamp are not due before {due}");
            let left = Duration::try_from(due.duration_since(now)).unwrap_or_default();
            // Not before it is due, whatever the clock rounds.
            (left + Duration::from_secs(1)).min(MOST)
        }
        Ok(Looked::Signed(snapshot)) => {
            site.metrics.signed.fetch_add(1, Ordering::Relaxed);
            tracing::info!("snapshot {snapshot} and its timestamp are signed anew");
            AGAIN
        }
        Err(error) => {
            site.metrics.failed.fetch_add(1, Ordering::Relaxed);
            report(&error);
            AGAIN
        }
    }
}

fn report(error: &PublishError) {
    tracing::warn!("snapshot and timestamp were not signed anew: {error}");
    error.hints().iter().for_each(|hint| tracing::warn!("{hint}"));
}
