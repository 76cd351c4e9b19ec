//! Looking at a change before it is signed, and once more before it is published.
//!
//! Who signs may have no network. So a change that waits for signatures carries the metadata that it
//! was made from, and that is verified here from the signer's own trusted root, as a repository is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use cutover_formats::layout;
use cutover_formats::tuf::pending::{Document, Pending};
use cutover_formats::tuf::review::{Base, Review, review};
use cutover_formats::tuf::targets::{DelegatedRole, Targets};
use cutover_repository::client::{Client, caps};
use cutover_repository::store::{Read, StoreError};
use jiff::Timestamp as Time;

use super::authority::authorise;
use super::edit::Signed;
use super::keyring::{Keyring, TrustFolder};
use super::settle::refreshed;
use super::{PublishError, Repo, metadata};

/// What the carried metadata is called in messages, and what is trusted of it remembered under.
const CARRIED: &str = "the pending change";

/// A change as its signer is shown it.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The difference that it makes.
    pub review: Review,
    /// What it was compared with.
    pub basis: Basis,
}

/// What a change was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The metadata that the signer's trusted root vouches for.
    Trusted,
    /// Nothing: there is no trusted root beside the signer's keys.
    NoRoot,
}

/// Compares a change with what the root beside the keys vouches for, and says in it who must sign by
/// that metadata. Without such a root all that the change says is shown, and who must sign is what the
/// change says.
pub fn examine(
    keyring: &Keyring,
    pending: &mut Pending,
    now: Time,
) -> Result<Examined, PublishError> {
    if !keyring.root_file().exists() {
        let review = review(None, &pending.documents, now)?;
        return Ok(Examined { review, basis: Basis::NoRoot });
    }
    // Who hands a change on must not be able to take away what shows what it leaves out.
    if pending.repository.is_empty() {
        return Err(PublishError::NothingToCompare);
    }
    let trust = keyring.trust_folder(CARRIED)?;
    // Changes that were made at different times may be signed in any order; roots only go forward.
    trust.forget_moment()?;
    let store = Carried(&pending.repository);
    let mut client = refreshed(now, &|_| {}, &store, &trust)?;
    let review = review(Some(&base(&mut client, &pending.documents)?), &pending.documents, now)?;
    let mut documents = pending.documents.clone();
    authorise(&mut client, &mut documents)?;
    drop(client);
    pending.documents = documents;
    trust.forget_moment()?;
    Ok(Examined { review, basis: Basis::Trusted })
}

/// Refuses a change that `pack` would not make, by what the repository says now.
pub(super) fn check(
    client: &mut Client<'_>,
    documents: &[Document],
    now: Time,
) -> Result<Base, PublishError> {
    let base = base(client, documents)?;
    review(Some(&base), documents, now)?;
    Ok(base)
}

/// What the repository says, as far as the change is concerned.
fn base(client: &mut Client<'_>, documents: &[Document]) -> Result<Base, PublishError> {
    let trusted = client.trusted()?;
    let root = (**trusted.root()).clone();
    let versions =
        trusted.snapshot().meta.iter().filter_map(|(file, meta)| {
            Some((file.strip_suffix(".json")?.to_owned(), meta.version))
        });
    let versions = versions.collect();
    let mut names: BTreeSet<String> =
        documents.iter().map(|one| one.role.clone()).filter(|role| role != "root").collect();
    names.insert("targets".to_owned());
    if names.iter().any(|name| name.starts_with("releases-")) {
        names.insert("releases".to_owned());
    }
    if let Some(targets) = documents.iter().find(|one| one.role == "targets")
        && let Ok(after) = targets.draft.read::<Targets>()
        && let Some(before) = client.role("targets")?
    {
        let stays = |name: &str| after.delegated().iter().any(|one| one.name == name);
        if before.delegated().iter().any(|one| !stays(&one.name)) {
            // Where a channel goes, its withdrawals have to stand on another one.
            names.extend(before.delegated().iter().map(|one| one.name.clone()));
        }
    }
    let mut roles = BTreeMap::new();
    for name in names {
        if let Some(role) = client.role(&name)? {
            roles.insert(name, (**role).clone());
        }
    }
    Ok(Base { root, versions, roles })
}

/// The metadata that a change was made from: all that it takes to verify [`base`] from any root.
pub(super) fn carried(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    documents: &[Document],
) -> Result<BTreeMap<String, String>, PublishError> {
    let base = base(client, documents)?;
    let snapshot = client.trusted()?.snapshot().head.version;
    let last = base.root.head.version;
    let mut files = vec![(metadata("snapshot", snapshot), caps::SNAPSHOT)];
    let roots = last.saturating_sub(caps::ROOT_STEPS as u64).max(1)..=last;
    files.extend(roots.map(|version| (metadata("root", version), caps::ROOT)));
    let roles = base.roles.keys().filter_map(|role| Some((role, base.versions.get(role)?)));
    files.extend(roles.map(|(role, version)| (metadata(role, *version), caps::TARGETS)));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut carried = BTreeMap::new();
    carried.insert(layout::TIMESTAMP.to_owned(), text(client.timestamp_bytes()?));
    for (path, cap) in files {
        match repo.store.get(&path, cap) {
            Ok(bytes) => drop(carried.insert(path, text(bytes))),
            // Whoever needs it will say so: a root from before those that are kept, for example.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(carried)
}

/// Makes sure, as a reader who has never been there, that everything a change says will be seen once
/// `signed` is published.
pub(super) fn check_visible(
    repo: &Repo<'_>,
    base: &Base,
    documents: &[Document],
    signed: &Signed,
) -> Result<(), PublishError> {
    let after = After { repo, signed };
    let trust = TrustFolder::temporary(&repo.keyring.root()?)?;
    let mut client = Client::open(&after, trust.path().to_owned(), repo.now)?;
    client.refresh()?;
    let invisible = |what: &str, why: &str| PublishError::Invisible {
        what: what.to_owned(),
        why: why.to_owned(),
    };
    for document in documents.iter().filter(|one| one.role != "root") {
        let role = document.role.as_str();
        let seen = client.role(role)?.map(|role| role.head.version);
        if seen != Some(document.version()) {
            return Err(invisible(role, "another version of it is current"));
        }
        let targets: Targets = document.draft.read()?;
        let before = base.roles.get(role);
        for name in depends(before, &targets) {
            client.role(&name)?.ok_or_else(|| invisible(&name, "nobody delegates to it"))?;
        }
        for (path, target) in &targets.targets {
            if before.and_then(|before| before.targets.get(path)) == Some(target) {
                continue;
            }
            let found = client.find(path)?;
            if found.is_none_or(|found| {
                (found.length(), found.hashes()) != (target.length, target.hashes)
            }) {
                return Err(invisible(path, "another role answers for it"));
            }
            let sha256 = target.hashes.sha256.ok_or_else(|| invisible(path, "it has no sha256"))?;
            match repo.store.stream(&layout::stored(path, sha256), 0, 1) {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {
                    return Err(invisible(path, "its file is not in the repository"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The roles whose present signatures may no longer be enough: the keys or the threshold of their
/// delegation have changed, other than by more keys.
fn depends(before: Option<&Targets>, after: &Targets) -> Vec<String> {
    let still_signed = |one: &DelegatedRole| {
        let before = before.iter().flat_map(|before| before.delegated());
        before.filter(|before| before.name == one.name).any(|before| {
            let stays = |id| one.keys.keyids.contains(id);
            one.keys.threshold <= before.keys.threshold && before.keys.keyids.iter().all(stays)
        })
    };
    let changed = after.delegated().iter().filter(|one| !still_signed(one));
    changed.map(|one| one.name.clone()).collect()
}

/// Metadata that came with a change.
struct Carried<'a>(&'a BTreeMap<String, String>);

impl Read for Carried<'_> {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let what = || path.to_owned();
        let text = self.0.get(path).ok_or_else(|| StoreError::NotFound { what: what() })?;
        match text.len() as u64 > cap {
            true => Err(StoreError::TooLarge { what: what(), cap }),
            false => Ok(text.as_bytes().to_vec()),
        }
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        let bytes = self.get(path, u64::MAX)?.into_iter();
        let at = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Box::new(Cursor::new(bytes.skip(at(from)).take(at(cap)).collect::<Vec<_>>())))
    }

    fn describe(&self) -> String {
        CARRIED.to_owned()
    }
}

/// A repository as it is going to be.
struct After<'a> {
    repo: &'a Repo<'a>,
    signed: &'a Signed,
}

impl Read for After<'_> {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let Signed { roles, snapshot, timestamp, root } = self.signed;
        let root = root.iter().map(|root| (root.path.as_str(), &root.bytes));
        let roles = roles.iter().chain([snapshot]).map(|(path, bytes)| (path.as_str(), bytes));
        let mut new = roles.chain(root).chain([(layout::TIMESTAMP, timestamp)]);
        match new.find(|(found, _)| *found == path) {
            Some((_, bytes)) if bytes.len() as u64 > cap => {
                Err(StoreError::TooLarge { what: path.to_owned(), cap })
            }
            Some((_, bytes)) => Ok(bytes.clone()),
            None => self.repo.store.get(path, cap),
        }
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        self.repo.store.stream(path, from, cap)
    }

    fn describe(&self) -> String {
        self.repo.store.describe()
    }
}
