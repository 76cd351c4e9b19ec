//! From what the operator typed to one signed release.

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
        /// What there is that looks alike.
        near: Vec<String>,
    },
    /// No such channel, or it does not name this product.
    #[error("no channel `{channel}` names a release of {product}")]
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
            Self::NoVersion { .. } | Self::NoChannel { .. } => Exit::NotFound,
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
            Self::NoVersion { near, .. } => vec![nearest(near)],
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
/// descriptor that is on the node already (`copy`) is not fetched again, if it is the one that is signed.
fn resolve(
    client: &mut Client<'_>,
    product: &Product,
    wanted: &Wanted,
    standings: &Standings,
    copy: &dyn Fn(&Version) -> Option<Vec<u8>>,
) -> Result<Release, ResolveError> {
    let version = match wanted {
        Wanted::Version(version) => version.clone(),
        Wanted::Requirement(requirement) => newest(client, product, requirement, standings)?,
        Wanted::Channel(channel) => follow(client, product, channel)?,
    };
    if let (false, Some(reason)) =
        (matches!(wanted, Wanted::Version(_)), standings.reason_against(&version))
    {
        let (wanted, reason) = (wanted.clone(), reason.to_owned());
        return Err(ResolveError::KnownBad { wanted, version, reason });
    }
    // Who follows a channel is spared the roles of all others.
    let withdrawal = match wanted {
        Wanted::Channel(channel) => client.withdrawn_from(channel, product, &version)?,
        Wanted::Version(_) | Wanted::Requirement(_) => client.withdrawn(product, &version)?,
    };
    if let Some(withdrawal) = withdrawal {
        return Err(ResolveError::Withdrawn { product: product.clone(), version, withdrawal });
    }
    let found = client.descriptor_or(product, &version, copy(&version))?;
    let Some((descriptor, bytes, signed_by)) = found else {
        return Err(no_version(client, product, wanted)?);
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
    standings: &Standings,
    copy: &dyn Fn(&Version) -> Option<Vec<u8>>,
) -> Result<Release, ResolveError> {
    loop {
        match resolve(client, product, wanted, standings, copy) {
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
    let names = client.channel_names()?;
    let names: Vec<&str> = names.iter().map(Channel::as_str).collect();
    let near = near(channel.as_str(), &names);
    Err(ResolveError::NoChannel { product: product.clone(), channel: channel.clone(), near })
}

fn newest(
    client: &mut Client<'_>,
    product: &Product,
    requirement: &VersionReq,
    standings: &Standings,
) -> Result<Version, ResolveError> {
    let mut fitting: Vec<Version> = versions(client, product)?;
    fitting.retain(|version| requirement.matches(version));
    fitting.sort();
    // Withdrawn ones are passed over as well, as far as there is another.
    while let [.., _, newest] = fitting.as_slice() {
        if client.withdrawn(product, newest)?.is_none() {
            break;
        }
        fitting.pop();
    }
    // A bad one is passed over while there is another; if all are bad, the newest is named.
    let good = fitting.iter().filter(|version| standings.reason_against(version).is_none()).max();
    match good.or(fitting.iter().max()) {
        Some(version) => Ok(version.clone()),
        None => Err(no_version(client, product, &Wanted::Requirement(requirement.clone()))?),
    }
}

fn versions(client: &mut Client<'_>, product: &Product) -> Result<Vec<Version>, ResolveError> {
    Ok(client.releases(Some(product))?.into_iter().map(|release| release.version).collect())
}

fn no_version(
    client: &mut Client<'_>,
    product: &Product,
    wanted: &Wanted,
) -> Result<ResolveError, ResolveError> {
    let mut there: Vec<Version> = versions(client, product)?;
    there.sort();
    let names: Vec<String> = there.iter().rev().map(Version::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = near(&wanted.to_string(), &names);
    Ok(ResolveError::NoVersion { product: product.clone(), wanted: wanted.clone(), near })
}

/// Those of `names` that look like `wanted`, or the first few where none does.
fn near(wanted: &str, names: &[&str]) -> Vec<String> {
    let alike = cutover_terminal::nearest(wanted, names.iter().copied());
    let few = if alike.is_empty() { names.iter().take(3).copied().collect() } else { alike };
    few.into_iter().map(str::to_owned).collect()
}
