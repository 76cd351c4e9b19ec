//! Publishing a change that was signed elsewhere, maybe by several people.
//!
//! What is published is decided by the signatures alone: who must sign is read from the trusted
//! metadata. A change belongs to the versions it was made from; where the repository has moved on in
//! one of its roles, it has to be made anew. It may be applied again after an interruption.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::tuf::draft::{Draft, Need};
use cutover_formats::tuf::names::TOP_LEVEL;
use cutover_formats::tuf::pending::{Document, LARGEST, Pending};
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::targets::Targets;
use cutover_repository::client::{Client, caps};
use cutover_repository::store::{Read, StoreError, Swap};

use super::authority::authorise;
use super::edit::{Editor, sign, top_level};
use super::execute::{Outcome, execute};
use super::keyring::TrustFolder;
use super::settle::{
    ATTEMPTS, Next, free_versions, next_snapshot, open, pause, refreshed, seal_or_wait,
};
use super::{PublishError, Repo, metadata, review, upload, view};

/// Reads the file of a pending change.
pub fn read(path: &Path) -> Result<Pending, PublishError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(PublishError::local(path))?;
    let pending = Pending::parse(&bytes)
        .map_err(|source| PublishError::Pending { path: path.to_owned(), source })?;
    whole(&pending)?;
    Ok(pending)
}

/// Refuses a change whose small files are not those that its metadata vouches for.
fn whole(pending: &Pending) -> Result<(), PublishError> {
    for (path, text) in &pending.files {
        let other = || PublishError::OtherFile { path: path.clone() };
        let mut vouched = pending.documents.iter().filter(|one| !TOP_LEVEL.contains(&&*one.role));
        let target = vouched.find_map(|one| {
            one.draft.read::<Targets>().ok().and_then(|role| role.targets.get(path).cloned())
        });
        target.ok_or_else(other)?.check(path, text.as_bytes()).map_err(|_| other())?;
    }
    Ok(())
}

/// Merges copies of one change and publishes it, if enough have signed.
pub fn apply(repo: &Repo<'_>, files: &[PathBuf]) -> Result<u64, PublishError> {
    let [first, others @ ..] = files else {
        return Ok(view(repo)?.client.trusted()?.snapshot().head.version);
    };
    let mut pending = read(first)?;
    let before = Before::of(repo, &pending.documents);
    {
        let (mut client, _trust) = open_for(repo, before.as_ref())?;
        let open = still_open(repo, &mut client, &pending.documents)?;
        review::check(&mut client, &open, repo.now)?;
        // Who must sign is not for the files to say, nor whose signatures are taken over.
        authorise(&mut client, &mut pending.documents)?;
    }
    for path in others {
        let merged = pending.merge(&read(path)?);
        merged.map_err(|source| PublishError::Pending { path: path.clone(), source })?;
    }
    publish(repo, pending, before.as_ref())
}

/// Signs a change with the keys that are here, and publishes it if that is enough.
pub(super) fn offer(repo: &Repo<'_>, mut pending: Pending) -> Result<u64, PublishError> {
    let before = Before::of(repo, &pending.documents);
    authorise(&mut open_for(repo, before.as_ref())?.0, &mut pending.documents)?;
    sign(repo.keyring, &mut pending.documents)?;
    publish(repo, pending, before.as_ref())
}

/// Ends a change of keys that was interrupted between its root and its timestamp, where old keys
/// were gone: the newest root is published, and nothing is signed for it yet. `None`: it is not so.
pub(super) fn complete_root(repo: &Repo<'_>) -> Result<Option<u64>, PublishError> {
    let mut newest = Draft::from_bytes(&repo.keyring.root()?)?;
    let first = newest.head()?.version;
    for version in first + 1..=first + caps::ROOT_STEPS as u64 {
        match repo.store.get(&metadata("root", version), caps::ROOT) {
            Ok(bytes) => newest = Draft::from_bytes(&bytes)?,
            Err(error) if error.ends_roots() => break,
            Err(error) => return Err(error.into()),
        }
    }
    let version = newest.head()?.version;
    if version == first {
        return Ok(None);
    }
    let root: Root = newest.read()?;
    let mut documents = vec![Document::new("root".to_owned(), version - 1, newest)];
    let before = Before::of(repo, &documents);
    let (mut client, _trust) = open_for(repo, before.as_ref())?;
    let targets = client.trusted()?.snapshot().role("targets").map_or(0, |meta| meta.version);
    let current = repo.store.get(&metadata("targets", targets), caps::TARGETS)?;
    let need = Need::new(&root.keys, top_level(&root, "targets"));
    if let (true, Some(role)) =
        (need.missing(&Draft::from_bytes(&current)?) > 0, client.role("targets")?)
    {
        let mut editor = Editor::new(repo.now);
        editor.role("targets", &role);
        let versions = free_versions(repo, &editor)?;
        documents.extend(editor.finish(&versions));
    }
    drop(client);
    let says = format!("complete root {version}");
    offer(repo, Pending::new(says, documents)).map(Some)
}

fn publish(
    repo: &Repo<'_>,
    pending: Pending,
    before: Option<&Before<'_>>,
) -> Result<u64, PublishError> {
    let Pending { says, documents, files, .. } = pending;
    let completed = |error| match error {
        PublishError::Incomplete { mut pending, missing } => {
            (pending.says, pending.files) = (says.clone(), files.clone());
            pending.documents.clone_from(&documents);
            PublishError::Incomplete { pending, missing }
        }
        other => other,
    };
    let mut is_first = true;
    let mut ours = None;
    for attempt in 1..=ATTEMPTS {
        let (mut client, _trust) = open_for(repo, before)?;
        let version = match next_snapshot(repo, &mut client, ours)? {
            Next::Free(version) => version,
            Next::Moved => continue,
        };
        let mut open = still_open(repo, &mut client, &documents)?;
        if open.is_empty() {
            return Ok(client.trusted()?.snapshot().head.version);
        }
        let base = review::check(&mut client, &open, repo.now)?;
        authorise(&mut client, &mut open)?;
        let sealed = seal_or_wait(repo, &mut client, open.clone(), version).map_err(&completed)?;
        if std::mem::take(&mut is_first) {
            for (path, text) in &files {
                let stored = layout::stored(path, Digest::of(text.as_bytes()));
                upload::bytes(repo, &stored, text.as_bytes())?;
            }
        }
        review::check_visible(repo, &base, &open, &sealed)?;
        match execute(repo, &sealed, &client.timestamp_bytes()?)? {
            Outcome::Visible => return Ok(version),
            Outcome::Committed => ours = Some(version),
            Outcome::Lost => pause(repo, attempt)?,
        }
    }
    Err(PublishError::LostRace { attempts: ATTEMPTS })
}

/// Those of the documents that are not published yet.
fn still_open(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    documents: &[Document],
) -> Result<Vec<Document>, PublishError> {
    let mut open = Vec::new();
    for document in documents {
        if standing(repo, client, document)? == Standing::Open {
            open.push(document.clone());
        }
    }
    Ok(open)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Done,
}

/// Whether a document is published, so that readers see what it says, or could be. One that stands in
/// the repository and was overtaken may never have been seen: its publisher died, or lost a race.
fn standing(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    document: &Document,
) -> Result<Standing, PublishError> {
    let trusted = client.trusted()?;
    let current = match document.role.as_str() {
        "root" => trusted.root().head.version,
        role => trusted.snapshot().role(role).map_or(0, |meta| meta.version),
    };
    if current == document.base && document.version() > current {
        return Ok(Standing::Open);
    }
    let is_seen = match document.role.as_str() {
        _ if current < document.version() => false,
        // The chain of roots leads through it.
        "root" => true,
        _ if current == document.version() => true,
        role => match (client.role(role)?, document.draft.read::<Targets>()) {
            (Some(now), Ok(then)) => {
                let stands = |(path, target)| now.targets.get(path) == Some(target);
                then.delegations == now.delegations && then.targets.iter().all(stands)
            }
            _ => false,
        },
    };
    if is_seen && is_published(repo, document)? {
        return Ok(Standing::Done);
    }
    Err(PublishError::Stale { role: document.role.clone(), base: document.base })
}

fn is_published(repo: &Repo<'_>, document: &Document) -> Result<bool, PublishError> {
    match repo.store.get(&metadata(&document.role, document.version()), caps::TARGETS) {
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
        Ok(bytes) => {
            Ok(Draft::from_bytes(&bytes).is_ok_and(|there| there.says_the_same(&document.draft)))
        }
    }
}

/// The repository as it is now. Where a change with a new root was interrupted just after its root
/// was created, nothing that stands there is signed for it yet: then, as it was before.
fn open_for<'c>(
    repo: &Repo<'c>,
    before: Option<&'c Before<'_>>,
) -> Result<(Client<'c>, TrustFolder), PublishError> {
    let opened = open(repo);
    let (Err(_), Some(before)) = (&opened, before) else { return opened };
    if !is_published(repo, &before.root)? {
        return opened;
    }
    (repo.note)("completing a change of keys that was interrupted");
    let trust = TrustFolder::temporary(&repo.keyring.root()?)?;
    Ok((refreshed(repo.now, repo.note, before, &trust)?, trust))
}

/// A repository as it was before it got a new root.
struct Before<'a> {
    store: &'a dyn Swap,
    root: Document,
}

impl<'a> Before<'a> {
    fn of(repo: &Repo<'a>, documents: &[Document]) -> Option<Self> {
        let root = documents.iter().find(|document| document.role == "root")?.clone();
        Some(Self { store: repo.store, root })
    }
}

impl Read for Before<'_> {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        if path == metadata("root", self.root.version()) {
            return Err(StoreError::NotFound { what: path.to_owned() });
        }
        self.store.get(path, cap)
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        self.store.stream(path, from, cap)
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}
