//! From what the operator typed to one signed release.

use std::collections::BTreeMap;

use cutover_formats::descriptor::Descriptor;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::{Version, VersionReq, Wanted};
use cutover_repository::client::{Client, SignedBy, TrustError, Withdrawal};

use crate::standing::Standings;

/// A release as signed metadata describes it.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// The exact bytes that were signed.
    pub bytes: Vec<u8>,
    /// Who signed them; `None` where an older program brought the release to the node and did not
    /// write it down.
    pub signed_by: Option<SignedBy>,
}

/// How many names are shown that may be meant.
const NEAR: usize = 3;

/// What the node knows beside signed metadata.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What it has learned of releases.
    pub standings: &'a Standings,
    /// What was ever seen to be withdrawn.
    pub withdrawn: &'a BTreeMap<Version, Withdrawal>,
    /// What runs.
    pub current: Option<&'a Version>,
    /// A descriptor that is on the node already.
    pub copy: &'a dyn Fn(&Version) -> Option<Vec<u8>>,
}

/// No release could be taken.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Metadata was refused or cannot be reached.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No such version.
    #[error("{product} has no release {wanted}")]
    NoVersion {
        /// The product.
        product: Product,
        /// What was asked for.
        wanted: Wanted,
        /// What there is that looks alike and may be installed.
        near: Vec<String>,
        /// Whether there is any at all.
        any: bool,
    },
    /// The channel is there, and points at nothing.
    #[error("the channel `{channel}` is empty: it names no release of {product} yet")]
    EmptyChannel {
        /// The product.
        product: Product,
        /// What was asked for.
        channel: Channel,
    },
    /// No such channel.
    #[error("there is no channel `{channel}` for {product}")]
    NoChannel {
        /// The product.
        product: Product,
        /// What was asked for.
        channel: Channel,
        /// What there is that looks alike.
        near: Vec<String>,
    },
    /// A channel or requirement leads to a release that failed here.
    #[error("{wanted} leads to {version}, which failed on this node: {reason}")]
    KnownBad {
        /// What was asked for.
        wanted: Wanted,
        /// Where it leads.
        version: Version,
        /// How it failed.
        reason: String,
    },
    /// The people who release it have taken it back.
    #[error("{product} {version} was withdrawn from {}: {}", withdrawal.channel, withdrawal.reason)]
    Withdrawn {
        /// The product.
        product: Product,
        /// The version.
        version: Version,
        /// Where the mark stands, and why.
        withdrawal: Withdrawal,
    },
    /// The signed file speaks of something else than its name.
    #[error("the descriptor of {product} {version} describes {found}")]
    Mislabelled {
        /// What was asked for.
        product: Product,
        /// What was asked for.
        version: Version,
        /// What it says it is.
        found: String,
    },
}

impl Explain for ResolveError {
    fn exit(&self) -> Exit {
        match self {
            Self::Trust(error) => error.exit(),
            Self::NoVersion { .. } | Self::NoChannel { .. } | Self::EmptyChannel { .. } => {
                Exit::NotFound
            }
            Self::KnownBad { .. } => Exit::CheckFailed,
            Self::Withdrawn { .. } | Self::Mislabelled { .. } => Exit::NotTrusted,
        }
    }

    fn hints(&self) -> Vec<String> {
        let nearest = |near: &[String]| match near {
            [] => "nothing was changed; the repository has none at all".to_owned(),
            [near] => format!("nothing was changed; the nearest is {near}"),
            near => format!("nothing was changed; the nearest are {}", near.join(", ")),
        };
        match self {
            Self::Trust(error) => error.hints(),
            Self::NoVersion { near, any: true, .. } if near.is_empty() => {
                vec!["nothing was changed; `install list` shows what is on this node".to_owned()]
            }
            Self::NoVersion { near, .. } => vec![nearest(near)],
            Self::EmptyChannel { channel, .. } => vec![format!(
                "nothing was changed; `pack promote VERSION {channel}` has it name one"
            )],
            Self::NoChannel { near, .. } => vec![
                nearest(near),
                "`pack list` shows channels and versions; a version has three numbers, as in 1.1.0; \
                 `install --help` lists the commands"
                    .to_owned(),
            ],
            Self::KnownBad { version, .. } => vec![format!(
                "nothing was changed; `install {version}` takes it all the same, by its number"
            )],
            Self::Withdrawn { .. } => vec![
                "nothing was changed; install another version, or wait until the channel has moved"
                    .to_owned(),
            ],
            Self::Mislabelled { .. } => vec!["nothing was changed".to_owned()],
        }
    }
}

/// The release that `wanted` means, verified, as one place has it; `client` has been refreshed. A
/// descriptor that is on the node already is not fetched again, if it is the one that is signed.
fn resolve(
    client: &mut Client<'_>,
    product: &Product,
    wanted: &Wanted,
    known: Known<'_>,
) -> Result<Release, ResolveError> {
    let version = match wanted {
        Wanted::Version(version) => version.clone(),
        Wanted::Requirement(requirement) => newest(client, product, requirement, known)?,
        Wanted::Channel(channel) => follow(client, product, channel)?,
    };
    // Who follows a channel is spared the roles of all others.
    let withdrawal = match (wanted, known.withdrawn.get(&version)) {
        (_, Some(seen)) => Some(seen.clone()),
        (Wanted::Channel(channel), None) => client.withdrawn_from(channel, product, &version)?,
        (Wanted::Version(_) | Wanted::Requirement(_), None) => {
            client.withdrawn(product, &version)?
        }
    };
    if let Some(withdrawal) = withdrawal {
        return Err(ResolveError::Withdrawn { product: product.clone(), version, withdrawal });
    }
    // After the question above: what was withdrawn cannot be had by its number either.
    if let (false, Some(reason)) =
        (matches!(wanted, Wanted::Version(_)), known.standings.reason_against(&version))
    {
        let (wanted, reason) = (wanted.clone(), reason.to_owned());
        return Err(ResolveError::KnownBad { wanted, version, reason });
    }
    let found = client.descriptor_or(product, &version, (known.copy)(&version))?;
    let Some((descriptor, bytes, signed_by)) = found else {
        return Err(no_version(client, product, wanted, known)?);
    };
    if (&descriptor.product, &descriptor.version) != (product, &version) {
        let found = format!("{} {}", descriptor.product, descriptor.version);
        return Err(ResolveError::Mislabelled { product: product.clone(), version, found });
    }
    Ok(Release { descriptor, bytes, signed_by: Some(signed_by) })
}

/// The same, of whatever place has it: one that has no such release or channel may only be late.
pub fn resolve_anywhere(
    client: &mut Client<'_>,
    product: &Product,
    wanted: &Wanted,
    known: Known<'_>,
) -> Result<Release, ResolveError> {
    loop {
        match resolve(client, product, wanted, known) {
            Err(error) if error.exit() == Exit::NotFound && client.look_elsewhere()? => {}
            resolved => return resolved,
        }
    }
}

fn follow(
    client: &mut Client<'_>,
    product: &Product,
    channel: &Channel,
) -> Result<Version, ResolveError> {
    if let Some(pointer) = client.channel(channel, product)? {
        return Ok(pointer.version);
    }
    let (product, channel) = (product.clone(), channel.clone());
    let channels = client.channel_names()?;
    if channels.contains(&channel) {
        return Err(ResolveError::EmptyChannel { product, channel });
    }
    let names: Vec<String> = channels.iter().map(|name| name.as_str().to_owned()).collect();
    let near = near(channel.as_str(), &names);
    Err(ResolveError::NoChannel { product, channel, near })
}

fn newest(
    client: &mut Client<'_>,
    product: &Product,
    requirement: &VersionReq,
    known: Known<'_>,
) -> Result<Version, ResolveError> {
    let mut fitting: Vec<Version> = versions(client, product)?;
    fitting.retain(|version| requirement.matches(version));
    fitting.sort();
    // The newest that is neither bad here nor withdrawn; else the newest that is only bad, which can
    // be had by its number; else the newest.
    let (bad, good): (Vec<&Version>, Vec<&Version>) =
        fitting.iter().rev().partition(|it| known.standings.reason_against(it).is_some());
    for version in good.into_iter().chain(bad) {
        if !is_withdrawn(client, product, version, known)? {
            return Ok(version.clone());
        }
    }
    match fitting.last() {
        Some(version) => Ok(version.clone()),
        None => {
            let wanted = Wanted::Requirement(requirement.clone());
            Err(no_version(client, product, &wanted, known)?)
        }
    }
}

fn versions(client: &mut Client<'_>, product: &Product) -> Result<Vec<Version>, ResolveError> {
    Ok(client.releases(Some(product))?.into_iter().map(|release| release.version).collect())
}

fn is_withdrawn(
    client: &mut Client<'_>,
    product: &Product,
    version: &Version,
    known: Known<'_>,
) -> Result<bool, ResolveError> {
    Ok(known.withdrawn.contains_key(version) || client.withdrawn(product, version)?.is_some())
}

/// Nobody is sent to a release that is bad here, was withdrawn or runs already.
fn no_version(
    client: &mut Client<'_>,
    product: &Product,
    wanted: &Wanted,
    known: Known<'_>,
) -> Result<ResolveError, ResolveError> {
    let mut there: Vec<Version> = versions(client, product)?;
    let any = !there.is_empty();
    there.retain(|version| {
        known.current != Some(version)
            && known.standings.reason_against(version).is_none()
            && !known.withdrawn.contains_key(version)
    });
    there.sort();
    there.reverse();
    let mut near = Vec::new();
    // Withdrawn ones are few: those that nobody has heard of here are looked up where they are named.
    while let Some(name) = self::near(&wanted.to_string(), &names(&there)).into_iter().next() {
        let Some(at) = there.iter().position(|version| version.to_string() == name) else { break };
        let version = there.remove(at);
        if client.withdrawn(product, &version)?.is_none() {
            near.push(name);
        }
        if near.len() == NEAR {
            break;
        }
    }
    let (product, wanted) = (product.clone(), wanted.clone());
    Ok(ResolveError::NoVersion { product, wanted, near, any })
}

fn names(versions: &[Version]) -> Vec<String> {
    versions.iter().map(Version::to_string).collect()
}

/// Those of `names` that look like `wanted`, or the first few where none does.
fn near(wanted: &str, names: &[String]) -> Vec<String> {
    let alike = cutover_terminal::nearest(wanted, names.iter().map(String::as_str));
    if alike.is_empty() {
        return names.iter().take(NEAR).cloned().collect();
    }
    alike.into_iter().map(str::to_owned).collect()
}
