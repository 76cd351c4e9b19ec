//! Publishing: signed metadata goes into a repository so that readers never see half of it.
//!
//! 1. Targets are uploaded under names that carry their digests; nobody looks at them yet.
//! 2. Every changed role is created as `<version>.<role>.json`; nobody looks at them yet.
//! 3. `<N>.snapshot.json` is **created if absent**. This is the commit point: of all publishers
//!    that started from snapshot N-1 exactly one gets past it.
//! 4. `timestamp.json` is **compared and swapped** to name snapshot N. From now on readers see it.
//!
//! A publisher that loses at 3 reads again, applies its edits to what is there now, and tries
//! again. One that finds a snapshot N while the timestamp still names N-1 has met another one
//! between its steps 3 and 4, perhaps dead there: it waits a little, then takes step 4 for it.
//!
//! What is edited, what is being signed and what is published are three types, each made from the
//! one before ([`edit`]); the [`executor`](execute) has nothing left to decide. Where the keys at
//! hand are not enough, the change becomes a file that others sign ([`mod@apply`]).

pub mod apply;
mod authority;
pub mod channels;
mod edit;
mod error;
mod execute;
mod genesis;
pub mod keychange;
pub mod keyring;
pub mod online;
pub mod review;
mod settle;
mod stock;
mod upload;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod races;

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_formats::channel::Pointer;
use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::tuf::json::Json;
use cutover_formats::tuf::refusal::Refusal;
use cutover_formats::tuf::targets::Target;
use cutover_formats::version::Version;
use cutover_formats::withdrawn::Withdrawn;
use cutover_repository::client::{Client, TrustError};
use cutover_repository::store::Swap;
use jiff::Timestamp;

pub use self::edit::Edit;
pub use self::error::{Missing, PublishError};
pub use self::genesis::{Genesis, init};
use self::keyring::Keyring;
pub use self::stock::{Contents, Minisigned};
pub use self::upload::Upload;

/// A repository that is published to.
#[derive(Clone, Copy)]
pub struct Repo<'a> {
    /// Its files.
    pub store: &'a dyn Swap,
    /// Who signs, and which root is trusted.
    pub keyring: &'a Keyring,
    /// The time of this run.
    pub now: Timestamp,
    /// How long another publisher is given to finish its last step.
    pub patience: Duration,
    /// Told what happens, line by line.
    pub note: &'a (dyn Fn(&str) + Sync),
}

/// How long another publisher is given to finish its last step, unless a test knows better.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Which way a channel may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Not to an older version than it has.
    Forward,
    /// To any version.
    Any,
}

/// A release, ready to be published.
#[derive(Clone, Debug)]
pub struct ReleaseFiles {
    /// What is released.
    pub product: Product,
    /// Which one.
    pub version: Version,
    /// The bytes of `release.json`.
    pub descriptor: Vec<u8>,
    /// Everything else: bundle, file list, vendored distributions.
    pub uploads: Vec<Upload>,
    /// The bundle's target path, length and digest.
    pub bundle: (String, u64, Digest),
    /// Which uploads are signed for stock tools as well.
    pub minisigned: Vec<Minisigned>,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version of the snapshot that readers see it in.
    pub snapshot: u64,
    /// Where the channel points now, if one was moved.
    pub pointer: Option<Pointer>,
    /// Bytes of the release's files that were not in the repository before.
    pub uploaded: u64,
}

/// Refuses a version that is published already; to be called before the hours of work.
pub fn check_absent(
    repo: &Repo<'_>,
    product: &Product,
    version: &Version,
) -> Result<(), PublishError> {
    absent(&mut view(repo)?.client, product, version)
}

/// Refuses a channel that the repository does not have; to be called before the hours of work.
pub fn check_channel(
    repo: &Repo<'_>,
    product: &Product,
    version: &Version,
    (channel, order): (&Channel, Order),
) -> Result<(), PublishError> {
    let client = &mut view(repo)?.client;
    known_channel(client, channel, product)?;
    match order {
        Order::Any => Ok(()),
        Order::Forward => {
            let (channel, product, version) = (channel.clone(), product.clone(), version.clone());
            // Its descriptor is not known yet, and decides nothing.
            settle::refuse_older(client, &Pointer::new(channel, product, version, Digest::of(b"")))
        }
    }
}

fn absent(
    client: &mut Client<'_>,
    product: &Product,
    version: &Version,
) -> Result<(), PublishError> {
    match client.find(&layout::descriptor(product, version))? {
        None => Ok(()),
        Some(_) => Err(already_published(product, version)),
    }
}

fn already_published(product: &Product, version: &Version) -> PublishError {
    PublishError::AlreadyPublished { product: product.clone(), version: version.clone() }
}

/// Publishes a release, and in the same step points `channel` at it.
pub fn release(
    repo: &Repo<'_>,
    files: &ReleaseFiles,
    channel: Option<(&Channel, Order)>,
) -> Result<Published, PublishError> {
    let (channel, order) = channel.unzip();
    let order = order.unwrap_or(Order::Forward);
    let mut view = view(repo)?;
    absent(&mut view.client, &files.product, &files.version)?;
    if let Some(channel) = channel {
        known_channel(&mut view.client, channel, &files.product)?;
    }
    let descriptor = Digest::of(&files.descriptor);
    let path = layout::descriptor(&files.product, &files.version);
    // First, because whoever holds the key may refuse.
    let signatures = stock::sign(repo, &mut view.client, &files.bundle.0, &files.minisigned)?;
    let uploaded = upload::files(repo, &files.uploads)?;
    stock::publish(repo, &signatures)?;
    upload::bytes(repo, &layout::stored(&path, descriptor), &files.descriptor)?;
    let pointer = channel.map(|channel| {
        let (product, version) = (files.product.clone(), files.version.clone());
        Pointer::new(channel.clone(), product, version, descriptor)
    });
    let (bundle, length, sha256) = files.bundle.clone();
    let mut edits = vec![
        Edit::AddTarget { path, target: descriptor_target(repo.now, files, channel) },
        Edit::AddTarget { path: bundle, target: Target::new(length, sha256, None) },
    ];
    if let Some(pointer) = &pointer {
        edits.push(point(repo, pointer, order)?);
    }
    let says = format!("release {} {}", files.product, files.version);
    let snapshot = settle::publish(repo, &edits).map_err(|error| match error {
        PublishError::Taken { .. } => already_published(&files.product, &files.version),
        other => other.of(&says, pointer_file(pointer.as_ref())),
    })?;
    Ok(Published { snapshot, pointer, uploaded })
}

/// What `pack list` shows without reading the descriptor. The time is here and not there, so that
/// the same tag always gives the same descriptor.
fn descriptor_target(now: Timestamp, files: &ReleaseFiles, channel: Option<&Channel>) -> Target {
    let released = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let bundle = i64::try_from(files.bundle.1).unwrap_or(i64::MAX);
    let channel = channel.map(|channel| ("channel", channel.as_str().into()));
    let custom = [("released", released.into()), ("bundle", Json::Int(bundle))];
    let custom = custom.into_iter().chain(channel).collect();
    let length = files.descriptor.len() as u64;
    Target::new(length, Digest::of(&files.descriptor), Some(custom))
}

/// Points a channel at a release that exists.
pub fn promote(
    repo: &Repo<'_>,
    product: &Product,
    version: &Version,
    (channel, order): (&Channel, Order),
) -> Result<Published, PublishError> {
    let (mut client, _trust) = settle::open(repo)?;
    known_channel(&mut client, channel, product)?;
    let descriptor = released(&mut client, product, version)?;
    refuse_withdrawn(&mut client, product, version, channel)?;
    let pointer = Pointer::new(channel.clone(), product.clone(), version.clone(), descriptor);
    if client.channel(channel, product)?.as_ref() == Some(&pointer) {
        let snapshot = client.trusted()?.snapshot().head.version;
        return Ok(Published { snapshot, pointer: Some(pointer), uploaded: 0 });
    }
    if order == Order::Forward {
        settle::refuse_older(&mut client, &pointer)?;
    }
    drop(client);
    let says = format!("point {channel} of {product} at {version}");
    let snapshot = settle::publish(repo, &[point(repo, &pointer, order)?])
        .map_err(|error| error.of(&says, pointer_file(Some(&pointer))))?;
    Ok(Published { snapshot, pointer: Some(pointer), uploaded: 0 })
}

/// Refuses a release that was taken back.
fn refuse_withdrawn(
    client: &mut Client<'_>,
    product: &Product,
    version: &Version,
    channel: &Channel,
) -> Result<(), PublishError> {
    let Some(why) = withdrawn(client, product, version, Some(channel))? else { return Ok(()) };
    let (product, version) = (product.clone(), version.clone());
    Err(PublishError::Withdrawn { product, version, why: format!("from {why}") })
}

/// From which channels a release was taken back, and why: `next, stable: loses data`. Of a branch's
/// channel that is known only where it is named in `beside`.
///
/// # Errors
/// Where the repository's metadata cannot be had or trusted.
pub fn withdrawn(
    client: &mut Client<'_>,
    product: &Product,
    version: &Version,
    beside: Option<&Channel>,
) -> Result<Option<String>, TrustError> {
    let own = match beside {
        Some(channel) => client.withdrawn_from(channel, product, version)?,
        None => None,
    };
    if own.is_none() && client.withdrawn(product, version)?.is_none() {
        return Ok(None);
    }
    let mut channels = client.channel_names()?;
    channels.extend(beside.filter(|channel| !channels.contains(channel)).cloned());
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for channel in channels {
        if let Some(withdrawal) = client.withdrawn_from(&channel, product, version)? {
            reasons.entry(withdrawal.reason).or_default().push(channel.to_string());
        }
    }
    let told = reasons.into_iter().map(|(why, from)| format!("{}: {why}", from.join(", ")));
    Ok(Some(told.collect::<Vec<_>>().join("; ")))
}

/// Withdraws a release from channels: marks that nodes heed, for good.
pub fn withdraw(
    repo: &Repo<'_>,
    product: &Product,
    version: &Version,
    channels: &[Channel],
    reason: &str,
) -> Result<Published, PublishError> {
    let (mut client, _trust) = settle::open(repo)?;
    released(&mut client, product, version)?;
    let mut edits = Vec::new();
    let mut files = Vec::new();
    for channel in channels {
        known_channel(&mut client, channel, product)?;
        if client.withdrawn_from(channel, product, version)?.is_some() {
            continue;
        }
        let (at, reason) = (channel.clone(), reason.to_owned());
        let mark = Withdrawn::new(at, product.clone(), version.clone(), reason.clone()).to_bytes();
        let path = layout::withdrawn(channel, product, version);
        upload::bytes(repo, &layout::stored(&path, Digest::of(&mark)), &mark)?;
        let custom = [("reason", Json::from(reason))].into_iter().collect();
        let target = Target::new(mark.len() as u64, Digest::of(&mark), Some(custom));
        edits.push(Edit::AddTarget { path: path.clone(), target });
        files.push((path, String::from_utf8_lossy(&mark).into_owned()));
    }
    if edits.is_empty() {
        let (product, version) = (product.clone(), version.clone());
        return Err(PublishError::Withdrawn { product, version, why: "already".to_owned() });
    }
    drop(client);
    let says = format!("withdraw {product} {version}");
    let snapshot = settle::publish(repo, &edits).map_err(|error| error.of(&says, files))?;
    Ok(Published { snapshot, pointer: None, uploaded: 0 })
}

/// The digest of the descriptor of a release, which must exist.
fn released(
    client: &mut Client<'_>,
    product: &Product,
    version: &Version,
) -> Result<Digest, PublishError> {
    let descriptor = client.find(&layout::descriptor(product, version))?;
    if let Some(descriptor) = descriptor.and_then(|file| file.sha256()) {
        return Ok(descriptor);
    }
    let known = client.releases(Some(product))?;
    let known = known.into_iter().map(|entry| entry.version.to_string()).collect();
    Err(PublishError::NoRelease { product: product.clone(), version: version.clone(), known })
}

/// Signs snapshot and timestamp anew, with new expiry dates. Works on an expired repository too, and
/// on one whose change of keys was interrupted right after its new root.
pub fn refresh(repo: &Repo<'_>) -> Result<Published, PublishError> {
    let snapshot = match settle::publish(repo, &[]) {
        Err(PublishError::Trust(error)) if is_unsigned(&error) => {
            match apply::complete_root(repo) {
                // What was left behind could be completed as it was.
                Err(PublishError::Stale { .. }) => settle::publish(repo, &[])?,
                done => done?.ok_or(error)?,
            }
        }
        other => other?,
    };
    Ok(Published { snapshot, pointer: None, uploaded: 0 })
}

fn is_unsigned(error: &TrustError) -> bool {
    matches!(error, TrustError::Refused { refusal: Refusal::Signatures { .. }, .. })
}

/// Uploads a pointer and gives the edit that makes it the channel's.
fn point(repo: &Repo<'_>, pointer: &Pointer, order: Order) -> Result<Edit, PublishError> {
    let bytes = pointer.to_bytes();
    let path = layout::channel(&pointer.channel, &pointer.product);
    upload::bytes(repo, &layout::stored(&path, Digest::of(&bytes)), &bytes)?;
    // Readers who believe it need not fetch the pointer: its digest tells whether they may.
    let target = Target::new(bytes.len() as u64, Digest::of(&bytes), Some(pointer.hint()));
    let forward = (order == Order::Forward).then(|| pointer.clone());
    Ok(Edit::SetChannel { path, target, forward })
}

/// A pointer as the signers of a change are shown it.
fn pointer_file(pointer: Option<&Pointer>) -> Vec<(String, String)> {
    let file = pointer.map(|pointer| {
        let text = String::from_utf8_lossy(&pointer.to_bytes()).into_owned();
        (layout::channel(&pointer.channel, &pointer.product), text)
    });
    file.into_iter().collect()
}

/// Refuses a channel for which nothing is delegated.
fn known_channel(
    client: &mut Client<'_>,
    channel: &Channel,
    product: &Product,
) -> Result<(), PublishError> {
    if client.owner(&layout::channel(channel, product))?.keys.is_some() {
        return Ok(());
    }
    let known = client.channel_names()?.iter().map(ToString::to_string).collect();
    Err(PublishError::NoChannel { channel: channel.clone(), known })
}

/// The trusted view of a repository that a publisher has.
pub struct View<'a> {
    /// The client, refreshed.
    pub client: Client<'a>,
    _trust: keyring::TrustFolder,
}

/// What a publisher sees before it changes anything.
pub fn view<'a>(repo: &Repo<'a>) -> Result<View<'a>, PublishError> {
    let (client, trust) = settle::open(repo)?;
    Ok(View { client, _trust: trust })
}

/// Where metadata of a version of a role stands.
fn metadata(role: &str, version: u64) -> String {
    format!("metadata/{}", cutover_formats::tuf::names::versioned(role, version))
}
