//! What the roles of our repositories are called, and what they are trusted with.

use crate::channel::Pointer;
use crate::layout;
use crate::name::{Channel, Product};
use crate::tuf::json::Json;
use crate::tuf::pattern::{Paths, hash};
use crate::tuf::targets::{DelegatedRole, Target};
use crate::version::Version;
use crate::withdrawn::Withdrawn;

/// How many bins the releases are spread over.
pub(super) const BINS: usize = 256;

/// A role that changes are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Root,
    Targets,
    Channel(Channel),
    Branches,
    Releases,
    Bin(String),
}

impl Kind {
    pub(super) fn of(role: &str) -> Option<Self> {
        match role {
            "root" => Some(Self::Root),
            "targets" => Some(Self::Targets),
            "branches" => Some(Self::Branches),
            "releases" => Some(Self::Releases),
            _ => channel(role).map(Self::Channel).or_else(|| {
                let prefix = role.strip_prefix("releases-")?;
                let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let is_bin = prefix.len() == 2 && prefix.bytes().all(is_digit);
                is_bin.then(|| Self::Bin(prefix.to_owned()))
            }),
        }
    }

    /// Whether this role, and nobody else, delegates to `role` just so.
    pub(super) fn delegates(&self, role: &DelegatedRole) -> bool {
        let (paths, terminating) = match (self, Self::of(&role.name)) {
            (Self::Targets, Some(Self::Channel(channel))) => {
                (Paths::Patterns(vec![format!("channels/{channel}/*").into()]), true)
            }
            (Self::Targets, Some(Self::Branches)) => {
                (Paths::Patterns(vec!["channels/b.*/*".to_owned().into()]), false)
            }
            (Self::Targets, Some(Self::Releases)) => {
                (Paths::Patterns(vec!["releases/*/*/*".to_owned().into()]), false)
            }
            (Self::Releases, Some(Self::Bin(prefix))) => (Paths::HashPrefixes(vec![prefix]), false),
            _ => return false,
        };
        role.paths == paths && role.terminating == terminating && role.unknown.is_empty()
    }

    /// What a target of this role is; `None` for one that has no place in it.
    pub(super) fn place(&self, path: &str) -> Option<Placed> {
        match self {
            Self::Channel(channel) => Placed::on(channel, path),
            Self::Branches => {
                let name = path.strip_prefix("channels/")?.split('/').next()?;
                Placed::on(&name.parse().ok().filter(Channel::is_branch)?, path)
            }
            Self::Bin(prefix) => {
                let [folder, product, version, file] =
                    path.split('/').collect::<Vec<_>>().try_into().ok()?;
                let is_release = folder == "releases"
                    && product.parse::<Product>().is_ok()
                    && version.parse::<Version>().is_ok()
                    && !file.is_empty();
                (is_release && hash(path).starts_with(prefix.as_str())).then_some(Placed::File)
            }
            Self::Root | Self::Targets | Self::Releases => None,
        }
    }
}

/// The channel that a role is for.
pub(super) fn channel(role: &str) -> Option<Channel> {
    let channel: Channel = role.strip_prefix("channel-")?.parse().ok()?;
    (!channel.is_branch()).then_some(channel)
}

/// What a target is.
pub(super) enum Placed {
    Pointer(Channel, Product),
    Mark(Channel, Product, Version),
    File,
}

impl Placed {
    fn on(channel: &Channel, path: &str) -> Option<Self> {
        if let Some((product, version)) = layout::withdrawn_release(channel, path) {
            return Some(Self::Mark(channel.clone(), product, version));
        }
        let (_, name) = path.rsplit_once('/')?;
        let product: Product = name.strip_suffix(".json")?.parse().ok()?;
        (layout::channel(channel, &product) == path)
            .then(|| Self::Pointer(channel.clone(), product))
    }

    /// What the file says, made from what is noted of it: so nothing can be noted that the file does
    /// not say. `None` where the file is another one.
    pub(super) fn says(&self, path: &str, target: &Target) -> Option<String> {
        let custom = target.custom.as_ref();
        match self {
            Self::Pointer(channel, product) => {
                let pointer = Pointer::hinted(channel, product, custom?)?;
                let is_it = target.check(path, &pointer.to_bytes()).is_ok();
                let says =
                    format!("{product} {}, descriptor {}", pointer.version, pointer.descriptor);
                (is_it && Some(&pointer.hint()) == custom).then_some(says)
            }
            Self::Mark(channel, product, version) => {
                let Json::Object(fields) = custom? else { return None };
                let Some(Json::String(reason)) = fields.get("reason") else { return None };
                let (channel, product) = (channel.clone(), product.clone());
                let says = format!("{product} {version} is withdrawn: {reason}");
                let mark = Withdrawn::new(channel, product, version.clone(), reason.clone());
                let is_it = target.check(path, &mark.to_bytes()).is_ok();
                (is_it && fields.len() == 1).then_some(says)
            }
            Self::File => Some(custom.map(super::difference::text).unwrap_or_default()),
        }
    }
}
