//! Changing who signs: adding, replacing and revoking keys, and how many of them it takes.
//!
//! Each change makes the next version of the metadata that appoints the keys, and has everything
//! signed anew that the role itself signs, so that nothing depends on a key that is going.
//!
//! | role | appointed by | signed anew |
//! |---|---|---|
//! | `root` | itself | |
//! | `targets` | `root` | `targets` |
//! | `snapshot`, `timestamp` | `root` | both |
//! | `channel-…`, `branches` | `targets` | the role |
//! | `releases` | `targets` and `releases` | `releases` and its 256 bins |

use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::json::{Json, Object};
use cutover_formats::tuf::key::{Key, Keys};
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names::{KEY_NAMES, TOP_LEVEL};
use cutover_formats::tuf::pending::{Document, Pending};
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::targets::{Delegations, Targets};
use cutover_formats::tuf::verify::RoleKeys;
use cutover_repository::client::Client;

use super::apply::offer;
use super::edit::{Editor, OFFLINE_DAYS, in_days};
use super::settle::{free_versions, open};
use super::{PublishError, Repo};

/// The shortest begin of a key id that is accepted for it.
const SHORTEST: usize = 4;

/// A change of the keys of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// One key more.
    Add {
        /// The key.
        key: Key,
        /// Whose it is.
        name: Option<String>,
    },
    /// One key instead of another.
    Rotate {
        /// The begin of the id of the key that goes; may be left out where there is only one.
        old: Option<String>,
        /// The key that comes.
        new: Key,
        /// Whose it is.
        name: Option<String>,
    },
    /// One key less.
    Revoke {
        /// The begin of its id.
        id: String,
    },
    /// How many signatures it takes.
    Threshold(u64),
    /// No other keys: only new expiry dates.
    Renew,
}

impl KeyChange {
    fn describe(&self, role: &str) -> String {
        let short = |id: &str| id.get(..8).unwrap_or(id).to_owned();
        match self {
            Self::Add { key, .. } => format!("add key {} to {role}", short(&key.id())),
            Self::Rotate { new, .. } => format!("rotate {role} to key {}", short(&new.id())),
            Self::Revoke { id } => format!("revoke key {} of {role}", short(id)),
            Self::Threshold(number) => format!("let {role} take {number} signatures"),
            Self::Renew => format!("renew {role}"),
        }
    }

    /// Whether what the role has signed is still signed by enough.
    fn leaves_signatures(&self) -> bool {
        matches!(self, Self::Add { .. })
    }

    fn apply(&self, role: &str, keys: &mut Keys, who: &mut RoleKeys) -> Result<(), PublishError> {
        match self {
            Self::Add { key, .. } => add(role, keys, who, key)?,
            Self::Rotate { old, new, .. } => {
                let old = match (old, who.keyids.as_slice()) {
                    (Some(old), _) => find(role, who, old)?,
                    (None, [only]) => only.clone(),
                    (None, several) => {
                        return Err(refuse(
                            role,
                            format!("it has {} keys", several.len()),
                            format!("say which one goes, by --old: {}", several.join(", ")),
                        ));
                    }
                };
                add(role, keys, who, new)?;
                who.keyids.retain(|id| *id != old);
            }
            Self::Revoke { id } => {
                let id = find(role, who, id)?;
                who.keyids.retain(|one| *one != id);
            }
            Self::Threshold(number) => who.threshold = *number,
            Self::Renew => {}
        }
        let count = who.keyids.len() as u64;
        if who.threshold == 0 || who.threshold > count {
            let why = format!("{} signatures of {count} keys cannot be", who.threshold);
            let hint = "nothing was changed; `pack keys rotate` replaces a key, `pack keys add` \
                        adds one, `pack keys threshold` says how many must sign";
            return Err(refuse(role, why, hint.to_owned()));
        }
        Ok(())
    }

    /// Who the new key is of.
    fn name(&self) -> Option<(String, &str)> {
        match self {
            Self::Add { key, name: Some(name) }
            | Self::Rotate { new: key, name: Some(name), .. } => Some((key.id(), name)),
            _ => None,
        }
    }
}

/// Keys that nobody is appointed with any more go, and so do their names; `new` is one that comes.
pub(super) fn tidy<'w>(
    keys: &mut Keys,
    unknown: &mut Object,
    new: Option<(String, &str)>,
    who: impl Iterator<Item = &'w RoleKeys> + Clone,
) {
    keys.retain(|id, _| who.clone().any(|role| role.keyids.contains(id)));
    let mut names = match unknown.remove(KEY_NAMES) {
        Some(Json::Object(names)) => names,
        _ => Object::new(),
    };
    names.extend(new.map(|(id, name)| (id, name.into())));
    names.retain(|id, _| keys.contains_key(id));
    if !names.is_empty() {
        unknown.insert(KEY_NAMES.to_owned(), Json::Object(names));
    }
}

fn add(role: &str, keys: &mut Keys, who: &mut RoleKeys, key: &Key) -> Result<(), PublishError> {
    let id = key.id();
    if who.keyids.contains(&id) {
        let hint = "nothing was changed".to_owned();
        return Err(refuse(role, format!("it has the key {id} already"), hint));
    }
    keys.insert(id.clone(), key.clone());
    who.keyids.push(id);
    Ok(())
}

/// The one key whose id begins so.
fn find(role: &str, who: &RoleKeys, begin: &str) -> Result<String, PublishError> {
    let mut fitting = who.keyids.iter().filter(|id| id.starts_with(begin));
    match (fitting.next(), fitting.next()) {
        (Some(id), None) if begin.len() >= SHORTEST => Ok(id.clone()),
        _ => Err(refuse(
            role,
            format!("`{begin}` is not the begin of exactly one of its key ids"),
            format!("nothing was changed; its keys are {}", who.keyids.join(", ")),
        )),
    }
}

pub(super) fn refuse(role: &str, why: String, hint: String) -> PublishError {
    PublishError::KeyChange { role: role.to_owned(), why, hint }
}

/// Changes the keys of `role`, or of all channels where it is `channels`, and gives the version of
/// the snapshot from which on it holds.
pub fn change_keys(repo: &Repo<'_>, role: &str, change: &KeyChange) -> Result<u64, PublishError> {
    offer(repo, plan_change(repo, role, change)?)
}

/// Refuses what [`change_keys`] would refuse before anybody has signed: so that no key is made, or
/// written down, for a change that cannot be.
pub fn check_change(repo: &Repo<'_>, role: &str, change: &KeyChange) -> Result<(), PublishError> {
    plan_change(repo, role, change).map(drop)
}

fn plan_change(repo: &Repo<'_>, role: &str, change: &KeyChange) -> Result<Pending, PublishError> {
    let (mut client, _trust) = open(repo)?;
    let documents = if TOP_LEVEL.contains(&role) {
        top_level(repo, &mut client, role, change)?
    } else {
        delegated(repo, &mut client, role, change)?
    };
    Ok(Pending::new(change.describe(role), documents))
}

fn top_level(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    role: &str,
    change: &KeyChange,
) -> Result<Vec<Document>, PublishError> {
    let mut root: Root = (**client.trusted()?.root()).clone();
    let base = root.head.version;
    let Root { keys, roles, unknown, .. } = &mut root;
    if let Some(appointed) = roles.get_mut(role) {
        change.apply(role, keys, &mut appointed.keys)?;
    }
    tidy(keys, unknown, change.name(), roles.values().map(|role| &role.keys));
    root.head = Head::new(base + 1, in_days(repo.now, OFFLINE_DAYS));
    let mut documents = vec![Document::new("root".to_owned(), base, Draft::new(&root))];
    if role == "targets" && !change.leaves_signatures() {
        let mut editor = Editor::new(repo.now);
        touch(client, &mut editor, role)?;
        let versions = free_versions(repo, &editor)?;
        documents.extend(editor.finish(&versions));
    }
    Ok(documents)
}

fn delegated(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    role: &str,
    change: &KeyChange,
) -> Result<Vec<Document>, PublishError> {
    let mut editor = Editor::new(repo.now);
    let is_meant =
        |name: &str| name == role || (role == "channels" && name.starts_with("channel-"));
    let top = touch(client, &mut editor, "targets")?;
    let known: Vec<_> = top.delegated().iter().map(|one| one.name.clone()).collect();
    let meant: Vec<_> = known.iter().filter(|name| is_meant(name)).cloned().collect();
    if meant.is_empty() {
        let known = known.into_iter().chain(TOP_LEVEL.map(str::to_owned)).collect();
        return Err(PublishError::NoRole { role: role.to_owned(), known });
    }
    if let Some(delegations) = &mut top.delegations {
        change_delegations(delegations, change, is_meant)?;
    }
    if meant.iter().any(|name| name == "releases") {
        let bins = touch(client, &mut editor, "releases")?;
        let names: Vec<_> = bins.delegated().iter().map(|bin| bin.name.clone()).collect();
        if let Some(delegations) = &mut bins.delegations {
            change_delegations(delegations, change, |_| true)?;
        }
        if !change.leaves_signatures() {
            for name in names {
                touch(client, &mut editor, &name)?;
            }
        }
    } else if !change.leaves_signatures() {
        for name in &meant {
            touch(client, &mut editor, name)?;
        }
    }
    let versions = free_versions(repo, &editor)?;
    Ok(editor.finish(&versions))
}

fn change_delegations(
    delegations: &mut Delegations,
    change: &KeyChange,
    is_meant: impl Fn(&str) -> bool,
) -> Result<(), PublishError> {
    let Delegations { keys, roles, unknown } = delegations;
    for role in roles.iter_mut().filter(|role| is_meant(&role.name)) {
        change.apply(&role.name, keys, &mut role.keys)?;
    }
    tidy(keys, unknown, change.name(), roles.iter().map(|role| &role.keys));
    Ok(())
}

/// A role as it is now, to be signed anew.
pub(super) fn touch<'e>(
    client: &mut Client<'_>,
    editor: &'e mut Editor,
    role: &str,
) -> Result<&'e mut Targets, PublishError> {
    let unknown = || PublishError::NoRole { role: role.to_owned(), known: Vec::new() };
    let targets = client.role(role)?.ok_or_else(unknown)?;
    Ok(editor.role(role, &targets))
}
