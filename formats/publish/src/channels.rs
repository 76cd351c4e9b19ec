//! Channels with roles of their own: a new one, with the keys of its promoters, and one that goes.
//!
//! Both are changes of `targets`. A new channel's first metadata, which vouches for nothing yet, is
//! signed by its promoters: so nobody is appointed who cannot sign.

use cutover_formats::layout;
use cutover_formats::name::Channel;
use cutover_formats::tuf::json::{Json, Object};
use cutover_formats::tuf::key::Key;
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names::KEY_NAMES;
use cutover_formats::tuf::pattern::Paths;
use cutover_formats::tuf::pending::Pending;
use cutover_formats::tuf::targets::{DelegatedRole, Delegations, Targets};
use cutover_formats::tuf::verify::RoleKeys;
use cutover_repository::client::Client;

use super::apply::offer;
use super::edit::Editor;
use super::keychange::{refuse, tidy, touch};
use super::settle::{free_versions, open};
use super::{PublishError, Repo};

/// The promoters of a channel.
#[derive(Clone, Debug)]
pub struct Promoters {
    /// Their keys, and whose they are.
    pub keys: Vec<(Key, Option<String>)>,
    /// How many of them must sign.
    pub threshold: u64,
}

/// The name of a channel's role.
#[must_use]
pub fn role_of(channel: &Channel) -> String {
    format!("channel-{channel}")
}

/// Adds a channel, and gives the version of the snapshot from which on it is there.
pub fn add(repo: &Repo<'_>, channel: &Channel, who: &Promoters) -> Result<u64, PublishError> {
    let name = role_of(channel);
    if channel.is_branch() {
        let why = format!("`{channel}` is a branch's channel, which needs no role of its own");
        let hint = format!("`pack promote VERSION {channel}` makes it");
        return Err(refuse(&name, why, hint));
    }
    let (mut client, _trust) = open(repo)?;
    let mut editor = Editor::new(repo.now);
    // One of that name may have been there before: versions never fall.
    let version = client.trusted()?.snapshot().role(&name).map_or(0, |meta| meta.version);
    let top = touch(&mut client, &mut editor, "targets")?;
    if top.delegated().iter().any(|role| role.name == name) {
        let hint = "nothing was changed; `pack keys add` and `pack keys threshold` change its keys";
        return Err(refuse(&name, "it is there already".to_owned(), hint.to_owned()));
    }
    if let Some(delegations) = &mut top.delegations {
        delegate(delegations, channel, who)?;
    }
    editor.role(&name, &Targets::new(Head::new(version, repo.now), None));
    let versions = free_versions(repo, &editor)?;
    let documents = editor.finish(&versions);
    drop(client);
    offer(repo, Pending::new(format!("add channel {channel}"), documents))
}

/// Puts the channel behind the other channels, before all else.
fn delegate(
    delegations: &mut Delegations,
    channel: &Channel,
    who: &Promoters,
) -> Result<(), PublishError> {
    let name = role_of(channel);
    let mut keyids: Vec<_> = who.keys.iter().map(|(key, _)| key.id()).collect();
    keyids.sort();
    keyids.dedup();
    if who.threshold == 0 || who.threshold > keyids.len() as u64 {
        let why = format!("{} signatures of {} keys cannot be", who.threshold, keyids.len());
        return Err(refuse(&name, why, "nothing was changed; say --key for each".to_owned()));
    }
    let mut names = match delegations.unknown.remove(KEY_NAMES) {
        Some(Json::Object(names)) => names,
        _ => Object::new(),
    };
    for (key, name) in &who.keys {
        delegations.keys.insert(key.id(), key.clone());
        names.extend(name.as_ref().map(|name| (key.id(), name.as_str().into())));
    }
    if !names.is_empty() {
        delegations.unknown.insert(KEY_NAMES.to_owned(), Json::Object(names));
    }
    let last = delegations.roles.iter().rposition(|role| role.name.starts_with("channel-"));
    let role = DelegatedRole {
        name,
        keys: RoleKeys { keyids, threshold: who.threshold },
        paths: Paths::Patterns(vec![format!("channels/{channel}/*").into()]),
        terminating: true,
        unknown: Object::new(),
    };
    delegations.roles.insert(last.map_or(0, |last| last + 1), role);
    Ok(())
}

/// Takes a channel away, and gives the version of the snapshot from which on it is gone.
pub fn remove(repo: &Repo<'_>, channel: &Channel) -> Result<u64, PublishError> {
    let name = role_of(channel);
    let (mut client, _trust) = open(repo)?;
    let mut editor = Editor::new(repo.now);
    if let Some(release) = forgotten(&mut client, channel)? {
        let why = format!("only here it is said that {release} is withdrawn");
        let hint =
            "nothing was changed; withdraw it from another channel as well, then remove this one";
        return Err(refuse(&name, why, hint.to_owned()));
    }
    let top = touch(&mut client, &mut editor, "targets")?;
    let known: Vec<_> = top.delegated().iter().map(|role| role.name.clone()).collect();
    if !known.contains(&name) {
        return Err(PublishError::NoRole { role: name, known });
    }
    if let Some(Delegations { keys, roles, unknown }) = &mut top.delegations {
        roles.retain(|role| role.name != name);
        tidy(keys, unknown, None, roles.iter().map(|role| &role.keys));
    }
    let versions = free_versions(repo, &editor)?;
    let documents = editor.finish(&versions);
    drop(client);
    offer(repo, Pending::new(format!("remove channel {channel}"), documents))
}

/// A release whose withdrawal nodes would hear of no more, were the channel not there.
fn forgotten(client: &mut Client<'_>, channel: &Channel) -> Result<Option<String>, PublishError> {
    let Some(role) = client.role(&role_of(channel))? else { return Ok(None) };
    let others: Vec<_> = client.channel_names()?.into_iter().filter(|one| one != channel).collect();
    for path in role.targets.keys() {
        let Some((product, version)) = layout::withdrawn_release(channel, path) else { continue };
        let mut elsewhere = false;
        for other in &others {
            elsewhere |= client.withdrawn_from(other, &product, &version)?.is_some();
        }
        if !elsewhere {
            return Ok(Some(format!("{product} {version}")));
        }
    }
    Ok(None)
}
