//! The first version of everything: an empty repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_formats::channel::DEFAULT_CHANNELS;
use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::key::Keys;
use cutover_formats::tuf::metadata::{Head, Signed};
use cutover_formats::tuf::names::TOP_LEVEL;
use cutover_formats::tuf::pattern::Paths;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::snapshot::{MetaFile, Snapshot};
use cutover_formats::tuf::targets::{DelegatedRole, Delegations, Targets};
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_formats::tuf::verify::{Role, RoleKeys};
use cutover_repository::store::{Body, Created, Swap, Swapped};
use jiff::Timestamp as Time;

use super::edit::{OFFLINE_DAYS, SNAPSHOT_DAYS, TIMESTAMP_DAYS, in_days, snapshot_meta};
use super::keyring::{Holder, Keyring};
use super::{PublishError, metadata};

/// A repository that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The digest of `metadata/1.root.json`: what a node's operator may compare.
    pub root: Digest,
}

/// Makes an empty repository in `store`, and lets the keyring trust it.
///
/// The root is created first: of two at once, one is refused.
pub fn init(store: &dyn Swap, keyring: &Keyring, now: Time) -> Result<Genesis, PublishError> {
    for file in [layout::FIRST_ROOT, layout::TIMESTAMP] {
        match store.get(file, 1 << 20) {
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(occupied(store, file)),
        }
    }
    let files = Files::sign(&Signers::open(keyring)?, now)?;
    create(store, layout::FIRST_ROOT, &files.root)?;
    keyring.trust(&files.root)?;
    for (path, bytes) in &files.roles {
        create(store, path, bytes)?;
    }
    match store.swap(layout::TIMESTAMP, None, &files.timestamp)? {
        Swapped::Done => Ok(Genesis { root: Digest::of(&files.root) }),
        Swapped::Changed => Err(occupied(store, layout::TIMESTAMP)),
    }
}

fn create(store: &dyn Swap, path: &str, bytes: &[u8]) -> Result<(), PublishError> {
    match store.create(path, Body::Bytes(bytes))? {
        Created::New => Ok(()),
        Created::Exists => Err(occupied(store, path)),
    }
}

fn occupied(store: &dyn Swap, file: &str) -> PublishError {
    PublishError::Occupied { repository: store.describe(), file: file.to_owned() }
}

/// All keys; making a repository takes every one.
struct Signers(BTreeMap<String, Vec<Arc<Holder>>>);

impl Signers {
    fn open(keyring: &Keyring) -> Result<Self, PublishError> {
        let channels = DEFAULT_CHANNELS.map(|name| format!("channel-{name}"));
        let others = ["branches", "releases"];
        let roles: Vec<_> = TOP_LEVEL
            .into_iter()
            .chain(others)
            .chain(channels.iter().map(String::as_str))
            .collect();
        // At once, so that they are decrypted in parallel; but first those that are missing.
        roles.iter().try_for_each(|role| keyring.present(role))?;
        keyring.holders(&roles)?;
        let signers = roles.into_iter().map(|role| Ok((role.to_owned(), keyring.require(role)?)));
        Ok(Self(signers.collect::<Result<_, PublishError>>()?))
    }

    /// The keys of a metadata role; a bin is signed by those of `releases`.
    fn of(&self, role: &str) -> &[Arc<Holder>] {
        self.0.get(role).unwrap_or_else(|| &self.0["releases"])
    }

    fn keys<'r>(&self, roles: impl IntoIterator<Item = &'r str>) -> Keys {
        let signers = roles.into_iter().flat_map(|role| self.of(role));
        signers.map(|signer| (signer.id().to_owned(), signer.public().clone())).collect()
    }

    fn role_keys(&self, role: &str) -> RoleKeys {
        let keyids = self.of(role).iter().map(|one| one.id().to_owned());
        let keyids = keyids.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        RoleKeys { keyids, threshold: 1 }
    }

    fn sign<T: Signed>(&self, role: &str, signed: &T) -> Result<Vec<u8>, PublishError> {
        let mut draft = Draft::new(signed);
        let message = draft.message();
        for holder in self.of(role) {
            draft.add(holder.sign(&message)?);
        }
        Ok(draft.to_bytes())
    }
}

/// The files of an empty repository.
struct Files {
    root: Vec<u8>,
    /// Targets, delegated roles and the snapshot, by path.
    roles: Vec<(String, Vec<u8>)>,
    timestamp: Vec<u8>,
}

impl Files {
    fn sign(signers: &Signers, now: Time) -> Result<Self, PublishError> {
        let expires = in_days(now, OFFLINE_DAYS);
        let mut roles = Vec::new();
        let mut meta = BTreeMap::new();
        for (role, delegations) in targets_roles(signers) {
            let targets = Targets::new(Head::new(1, expires), delegations);
            roles.push((metadata(&role, 1), signers.sign(&role, &targets)?));
            meta.insert(format!("{role}.json"), MetaFile::version(1));
        }
        let head = Head::new(1, in_days(now, SNAPSHOT_DAYS));
        let snapshot = Snapshot { head, meta, unknown: Object::new() };
        let snapshot = signers.sign(Snapshot::TYPE, &snapshot)?;
        let timestamp = Timestamp {
            head: Head::new(1, in_days(now, TIMESTAMP_DAYS)),
            snapshot: snapshot_meta(1, &snapshot, Object::new()),
            unknown: Object::new(),
        };
        roles.push((metadata(Snapshot::TYPE, 1), snapshot));
        Ok(Self {
            root: signers.sign(Root::TYPE, &root(signers, expires))?,
            roles,
            timestamp: signers.sign(Timestamp::TYPE, &timestamp)?,
        })
    }
}

fn root(signers: &Signers, expires: Time) -> Root {
    let role = |name: &str| Role { keys: signers.role_keys(name), unknown: Object::new() };
    Root {
        head: Head::new(1, expires),
        consistent_snapshot: true,
        keys: signers.keys(TOP_LEVEL),
        roles: TOP_LEVEL.map(|name| (name.to_owned(), role(name))).into(),
        unknown: Object::new(),
    }
}

/// Every targets role, with what it delegates.
fn targets_roles(signers: &Signers) -> Vec<(String, Option<Delegations>)> {
    let patterns = |path: String| Paths::Patterns(vec![path.into()]);
    let mut top: Vec<_> = DEFAULT_CHANNELS
        .iter()
        .map(|name| (format!("channel-{name}"), patterns(format!("channels/{name}/*")), true))
        .collect();
    top.push(("branches".to_owned(), patterns("channels/b.*/*".to_owned()), false));
    top.push(("releases".to_owned(), patterns("releases/*/*/*".to_owned()), false));
    let bins: Vec<_> = (0..=255_u8)
        .map(|bin| {
            let prefix = format!("{bin:02x}");
            (format!("releases-{prefix}"), Paths::HashPrefixes(vec![prefix]), false)
        })
        .collect();
    let leaves = top.iter().chain(&bins).map(|(role, ..)| role.clone());
    let mut roles: Vec<_> =
        leaves.filter(|role| role != "releases").map(|role| (role, None)).collect();
    roles.push(("targets".to_owned(), Some(delegations(signers, top))));
    roles.push(("releases".to_owned(), Some(delegations(signers, bins))));
    roles
}

fn delegations(signers: &Signers, roles: Vec<(String, Paths, bool)>) -> Delegations {
    let keys = signers.keys(roles.iter().map(|(role, ..)| role.as_str()));
    let roles = roles.into_iter().map(|(name, paths, terminating)| DelegatedRole {
        keys: signers.role_keys(&name),
        name,
        paths,
        terminating,
        unknown: Object::new(),
    });
    Delegations { keys, roles: roles.collect(), unknown: Object::new() }
}
