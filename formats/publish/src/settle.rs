//! Racing with other publishers, and cleaning up after those that died.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use cutover_formats::channel::Pointer;
use cutover_formats::layout;
use cutover_formats::tuf::pending::{Document, Pending};
use cutover_formats::tuf::refusal::Refusal;
use cutover_formats::tuf::snapshot::Snapshot;
use cutover_formats::tuf::verify::RoleKeys;
use cutover_repository::client::{Client, TrustError, caps};
use cutover_repository::store::{Read, Swapped};
use jiff::{SignedDuration, Timestamp as Time};

use super::authority::authorise;
use super::edit::{Edit, Editor, Signed, lacking, next_timestamp, seal, sign, top_level};
use super::error::Missing;
use super::execute::{Outcome, execute};
use super::keyring::TrustFolder;
use super::{PublishError, Repo, metadata, review};

/// How often a publisher tries. With many at once somebody always gets through, so that this
/// many losses in a row mean a very busy repository.
pub(super) const ATTEMPTS: u32 = 24;

/// How many versions that cannot be used are stepped over: files that nobody's metadata names.
const MOST_LEFTOVERS: u64 = 256;

/// A client that sees the repository as it is now.
///
/// For a publisher expired snapshots and timestamps are no obstacle: it is about to sign new
/// ones, and replaces only what it has seen. They are judged by the moment before they expired.
pub(super) fn open<'a>(repo: &Repo<'a>) -> Result<(Client<'a>, TrustFolder), PublishError> {
    let trust = repo.keyring.trust_folder(&repo.store.describe())?;
    Ok((refreshed(repo.now, repo.note, repo.store, &trust)?, trust))
}

/// A client of `store`, with what is trusted in `trust`.
pub(super) fn refreshed<'a>(
    now: Time,
    note: &dyn Fn(&str),
    store: &'a dyn Read,
    trust: &TrustFolder,
) -> Result<Client<'a>, PublishError> {
    let mut now = now;
    loop {
        let mut client = Client::open(store, trust.path().to_owned(), now)?;
        match client.refresh() {
            Ok(()) => return Ok(client),
            Err(TrustError::Refused {
                refusal: Refusal::Expired { role, expires, .. }, ..
            }) if matches!(role.as_str(), "timestamp" | "snapshot") && expires <= now => {
                note(&format!("the {role} expired at {expires}; it will be signed anew"));
                now = expires - SignedDuration::from_secs(1);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Publishes `edits` and gives the version of the snapshot that readers see them in.
pub(super) fn publish(repo: &Repo<'_>, edits: &[Edit]) -> Result<u64, PublishError> {
    // The snapshot of ours that is committed, and whether one of somebody's was completed here.
    let (mut ours, mut completed) = (None, false);
    for attempt in 1..=ATTEMPTS {
        let (mut client, _trust) = open(repo)?;
        let version = match next_snapshot(repo, &mut client, ours)? {
            Next::Free(version) => version,
            Next::Moved => {
                completed = true;
                continue;
            }
        };
        let visible = client.trusted()?.snapshot().head.version;
        // Whether a channel that we moved has been moved on since is not for us to undo.
        let is_ours = ours.is_some_and(|ours| visible >= ours);
        let matters = |edit: &&Edit| !is_ours || matches!(edit, Edit::AddTarget { .. });
        match standing(&mut client, edits.iter().filter(matters))? {
            Standing::Taken(path) => return Err(PublishError::Taken { path }),
            Standing::Done { new: Some(path) } if ours.is_none() && !completed => {
                return Err(PublishError::Taken { path });
            }
            Standing::Done { .. } if is_ours || !edits.is_empty() => return Ok(visible),
            Standing::Done { .. } | Standing::Open => {}
        }
        match attempt_once(repo, &mut client, edits, version)? {
            Outcome::Visible => return Ok(version),
            Outcome::Committed => ours = Some(version),
            Outcome::Lost => pause(repo, attempt)?,
        }
    }
    Err(PublishError::LostRace { attempts: ATTEMPTS })
}

fn attempt_once(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    edits: &[Edit],
    version: u64,
) -> Result<Outcome, PublishError> {
    let mut editor = Editor::new(repo.now);
    for edit in edits {
        // Another publisher may have moved it on since.
        if let Edit::SetChannel { forward: Some(pointer), .. } = edit {
            refuse_older(client, pointer)?;
        }
        let owner = client.owner(edit.path())?;
        editor.apply(edit, &owner.role, &owner.targets);
    }
    let versions = free_versions(repo, &editor)?;
    let mut documents = editor.finish(&versions);
    authorise(client, &mut documents)?;
    let signed = sign(repo.keyring, &mut documents)?;
    if let (0, Some(document)) = (signed, documents.iter().find(|one| !one.is_signed())) {
        return Err(lacking(repo.keyring, document));
    }
    let sealed = seal_or_wait(repo, client, documents, version)?;
    execute(repo, &sealed, &client.timestamp_bytes()?)
}

/// Refuses a pointer to an older version than its channel points at.
pub(super) fn refuse_older(client: &mut Client<'_>, to: &Pointer) -> Result<(), PublishError> {
    let Pointer { channel, product, version, .. } = to;
    match client.channel(channel, product)? {
        Some(now) if now.version > *version => Err(PublishError::Older {
            channel: format!("{channel} of {product}"),
            version: version.clone(),
            now: now.version,
        }),
        _ => Ok(()),
    }
}

/// For each edited role the first version that nobody has made.
pub(super) fn free_versions(
    repo: &Repo<'_>,
    editor: &Editor,
) -> Result<BTreeMap<String, u64>, PublishError> {
    let roles = editor
        .edited()
        .map(|(role, current)| Ok((role.to_owned(), free_version(repo, role, current + 1)?)));
    roles.collect()
}

/// Signs snapshot and timestamp, where everything else is signed and their keys are here. Otherwise
/// the change has to wait.
pub(super) fn seal_or_wait(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    documents: Vec<Document>,
    version: u64,
) -> Result<Signed, PublishError> {
    let mut missing: Vec<_> = documents.iter().filter_map(lacks).collect();
    if missing.is_empty() {
        match seal(repo.keyring, client.trusted()?, &documents, version, repo.now) {
            Err(
                error @ (PublishError::NoKey { .. }
                | PublishError::OtherKey { .. }
                | PublishError::Threshold { .. }),
            ) if !documents.is_empty() => {
                (repo.note)(&error.to_string());
                let root = client.trusted()?.root();
                missing.extend(["snapshot", "timestamp"].map(|role| {
                    let RoleKeys { keyids, threshold } = top_level(root, role).clone();
                    Missing { role: role.to_owned(), count: threshold, keys: keyids }
                }));
            }
            sealed => return sealed,
        }
    }
    let mut pending = Pending::new(String::new(), documents);
    pending.repository = review::carried(repo, client, &pending.documents)?;
    Err(PublishError::Incomplete { pending: Box::new(pending), missing })
}

/// Whose signatures a document still lacks; of several needs, the first.
pub(super) fn lacks(document: &Document) -> Option<Missing> {
    let need = document.needs.iter().find(|need| need.missing(&document.draft) > 0)?;
    let (count, keys) = (need.missing(&document.draft), need.unsigned(&document.draft));
    Some(Missing { role: document.role.clone(), count, keys })
}

/// The first version of a role, from `from`, whose file nobody has made: a publisher that died or
/// lost a race leaves one behind.
fn free_version(repo: &Repo<'_>, role: &str, from: u64) -> Result<u64, PublishError> {
    for version in from..from + MOST_LEFTOVERS {
        match repo.store.get(&metadata(role, version), caps::TARGETS) {
            Err(error) if error.is_not_found() => return Ok(version),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    Err(PublishError::LostRace { attempts: ATTEMPTS })
}

/// What the repository says of the edits already.
enum Standing {
    /// All of them hold; among them a target that should be new.
    Done { new: Option<String> },
    /// Another file stands where one should be new.
    Taken(String),
    /// There is something to do.
    Open,
}

fn standing<'e>(
    client: &mut Client<'_>,
    edits: impl Iterator<Item = &'e Edit>,
) -> Result<Standing, PublishError> {
    let (mut is_open, mut new) = (false, None);
    for edit in edits {
        let found = client.find(edit.path())?;
        let wanted = (edit.target().length, edit.target().hashes);
        match (edit, found.map(|found| (found.length(), found.hashes()) == wanted)) {
            (Edit::AddTarget { path, .. }, Some(true)) => new = Some(path.clone()),
            (Edit::AddTarget { path, .. }, Some(false)) => {
                return Ok(Standing::Taken(path.clone()));
            }
            (Edit::SetChannel { .. }, Some(true)) => {}
            _ => is_open = true,
        }
    }
    Ok(if is_open { Standing::Open } else { Standing::Done { new } })
}

/// Where a new snapshot can go.
pub(super) enum Next {
    /// Nobody has made this version.
    Free(u64),
    /// The repository has moved on: read again.
    Moved,
}

/// Looks beyond the snapshot that the timestamp names. One that is there belongs to a publisher
/// that has not replaced the timestamp yet, or never will.
pub(super) fn next_snapshot(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    ours: Option<u64>,
) -> Result<Next, PublishError> {
    let current = client.trusted()?.snapshot().head.version;
    for version in current + 1..=current + MOST_LEFTOVERS {
        let bytes = match repo.store.get(&metadata("snapshot", version), caps::SNAPSHOT) {
            Err(error) if error.is_not_found() => return Ok(Next::Free(version)),
            Err(error) => return Err(error.into()),
            Ok(bytes) => bytes,
        };
        let successor = client.trusted()?.successor(version, &bytes);
        // What no keys have signed is nobody's last step but one: nobody waits for it.
        let moved = match &successor {
            _ if ours == Some(version) => false,
            Ok(_) => moves_on(repo, &client.timestamp_bytes()?)?,
            Err(_) => has_moved(repo, client)?,
        };
        if moved {
            return Ok(Next::Moved);
        }
        match successor {
            Ok(next) if is_whole(repo, client.trusted()?.snapshot(), &next)? => {
                (repo.note)(&format!(
                    "completing snapshot {version}, which a publisher left behind"
                ));
                match roll_forward(repo, client, version, &bytes) {
                    // The timestamp key is about to be replaced, because it is lost.
                    Err(PublishError::NoKey { .. } | PublishError::OtherKey { .. }) => {
                        (repo.note)(&format!("stepping over snapshot {version}: no key for it"));
                    }
                    done => return done.map(|_| Next::Moved),
                }
            }
            Ok(_) => {
                (repo.note)(&format!("stepping over snapshot {version}: its roles are missing"))
            }
            Err(refusal) => (repo.note)(&format!("stepping over snapshot {version}: {refusal}")),
        }
    }
    Err(PublishError::LostRace { attempts: ATTEMPTS })
}

/// Whether the repository is not what was read of it any more: then what is refused may be good.
fn has_moved(repo: &Repo<'_>, client: &mut Client<'_>) -> Result<bool, PublishError> {
    if repo.store.get(layout::TIMESTAMP, caps::TIMESTAMP)? != client.timestamp_bytes()? {
        return Ok(true);
    }
    let next = client.trusted()?.root().head.version.saturating_add(1);
    match repo.store.get(&metadata("root", next), caps::ROOT) {
        Err(error) if error.ends_roots() => Ok(false),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(true),
    }
}

/// Gives another publisher time for its last step.
fn moves_on(repo: &Repo<'_>, timestamp: &[u8]) -> Result<bool, PublishError> {
    const LOOKS: u32 = 8;
    for _ in 0..LOOKS {
        if repo.store.get(layout::TIMESTAMP, caps::TIMESTAMP)? != timestamp {
            return Ok(true);
        }
        thread::sleep(repo.patience / LOOKS);
    }
    Ok(repo.store.get(layout::TIMESTAMP, caps::TIMESTAMP)? != timestamp)
}

/// Whether every role that changes with `next` is there.
fn is_whole(repo: &Repo<'_>, current: &Snapshot, next: &Snapshot) -> Result<bool, PublishError> {
    for (file, meta) in &next.meta {
        if current.meta.get(file).is_some_and(|before| before.version == meta.version) {
            continue;
        }
        let role = file.strip_suffix(".json").unwrap_or(file);
        match repo.store.get(&metadata(role, meta.version), caps::TARGETS) {
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    Ok(true)
}

/// Takes the last step for another publisher. That somebody else was faster is just as well.
fn roll_forward(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    version: u64,
    bytes: &[u8],
) -> Result<Swapped, PublishError> {
    let expected = client.timestamp_bytes()?;
    let trusted = client.trusted()?;
    let (root, last) = (trusted.root(), trusted.timestamp());
    let timestamp = next_timestamp(repo.keyring, root, last, (version, bytes), repo.now)?;
    Ok(repo.store.swap(layout::TIMESTAMP, Some(&expected), &timestamp)?)
}

/// Waits a random while, longer after each loss, so that the losers do not meet again.
pub(super) fn pause(repo: &Repo<'_>, attempt: u32) -> Result<(), PublishError> {
    let random = u32::from_le_bytes(super::keyring::random()?);
    let most = (repo.patience / 20).saturating_mul(attempt.min(10));
    let fraction = f64::from(random) / f64::from(u32::MAX);
    let wait = Duration::from_secs_f64(most.as_secs_f64() * fraction);
    (repo.note)(&format!("trying again (attempt {})", attempt + 1));
    thread::sleep(wait);
    Ok(())
}
