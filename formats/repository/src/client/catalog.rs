//! What there is: releases and channels, enumerated.
//!
//! Enumerating walks every role that could speak of releases (or of channels) and collects paths;
//! then each path is looked for as if somebody had asked for it, so that a listing never shows what
//! a search would not find.

use std::collections::BTreeSet;
use std::sync::Arc;

use cutover_formats::channel::{self, Pointer};
use cutover_formats::descriptor::{self, Descriptor};
use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::tuf::json::Json;
use cutover_formats::tuf::pattern::Paths;
use cutover_formats::tuf::search::Edge;
use cutover_formats::version::Version;
use jiff::Timestamp;

use super::{Client, SignedBy, TargetFile, TrustError};

/// A release, as its signed metadata shows it without reading its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseEntry {
    /// The product.
    pub product: Product,
    /// The version.
    pub version: Version,
    /// The descriptor.
    pub descriptor: TargetFile,
    /// When it was published.
    pub released: Option<Timestamp>,
    /// Bytes of its bundle.
    pub bundle: Option<u64>,
}

impl ReleaseEntry {
    fn new(descriptor: TargetFile) -> Option<Self> {
        let (product, version) = release_of(descriptor.path())?;
        let field = |name: &str| match descriptor.custom()? {
            Json::Object(fields) => fields.get(name),
            _ => None,
        };
        let released = match field("released") {
            Some(Json::String(text)) => text.parse().ok(),
            _ => None,
        };
        let bundle = match field("bundle") {
            Some(Json::Int(size)) => u64::try_from(*size).ok(),
            _ => None,
        };
        Some(Self { product, version, descriptor, released, bundle })
    }
}

impl Client<'_> {
    /// All releases, or those of one product, by product and version.
    pub fn releases(&mut self, product: Option<&Product>) -> Result<Vec<ReleaseEntry>, TrustError> {
        let mut releases = Vec::new();
        for path in self.paths("releases")? {
            let is_wanted = release_of(&path)
                .is_some_and(|(found, _)| product.is_none_or(|product| *product == found));
            if is_wanted && let Some(descriptor) = self.find(&path)? {
                releases.extend(ReleaseEntry::new(descriptor));
            }
        }
        releases.sort_by(|a, b| (&a.product, &a.version).cmp(&(&b.product, &b.version)));
        Ok(releases)
    }

    /// Where all channels point, or those that have something of one product.
    pub fn channels(&mut self, product: Option<&Product>) -> Result<Vec<Pointer>, TrustError> {
        let mut pointers = Vec::new();
        for path in self.paths("channels")? {
            let Some((channel, found)) = channel_of(&path) else { continue };
            if product.is_none_or(|product| *product == found) {
                pointers.extend(self.channel(&channel, &found)?);
            }
        }
        Ok(pointers)
    }

    /// The names of the channels that the repository has, whether or not they point anywhere;
    /// channels of branches only where they do.
    pub fn channel_names(&mut self) -> Result<Vec<Channel>, TrustError> {
        let mut names = self.fixed_channels()?;
        for path in self.paths("channels")? {
            let found = channel_of(&path).map(|(channel, _)| channel);
            names.extend(found.filter(|channel| !names.contains(channel)));
        }
        Ok(names)
    }

    /// The channels that have roles of their own.
    pub(super) fn fixed_channels(&mut self) -> Result<Vec<Channel>, TrustError> {
        let (source, moment) = self.moment()?;
        let top = moment.roles.top(&source, &moment.trusted)?;
        let patterns = top.delegated().iter().filter_map(|role| match &role.paths {
            Paths::Patterns(patterns) => Some(patterns),
            Paths::HashPrefixes(_) => None,
        });
        let fixed = patterns.flatten().filter_map(|pattern| {
            let channel = pattern.as_str().strip_prefix("channels/")?.strip_suffix("/*")?;
            channel.parse::<Channel>().ok()
        });
        Ok(fixed.collect())
    }

    /// Where a channel points for a product, if it does.
    pub fn channel(
        &mut self,
        channel: &Channel,
        product: &Product,
    ) -> Result<Option<Pointer>, TrustError> {
        let Some(file) = self.find(&layout::channel(channel, product))? else { return Ok(None) };
        let hinted = file.custom().and_then(|hint| Pointer::hinted(channel, product, hint));
        if let Some(pointer) = hinted.filter(|one| file.check(&one.to_bytes()).is_ok()) {
            return Ok(Some(pointer));
        }
        let bytes = self.read_target(&file, channel::LARGEST)?;
        Ok(Some(Pointer::parse(&bytes, channel, product)?))
    }

    /// The descriptor of a release, its exact bytes and who signed them; `None` if there is no such
    /// release.
    pub fn descriptor(
        &mut self,
        product: &Product,
        version: &Version,
    ) -> Result<Option<(Descriptor, Vec<u8>, SignedBy)>, TrustError> {
        self.descriptor_or(product, version, None)
    }

    /// The same, without fetching it where `copy` is just that.
    pub fn descriptor_or(
        &mut self,
        product: &Product,
        version: &Version,
        copy: Option<Vec<u8>>,
    ) -> Result<Option<(Descriptor, Vec<u8>, SignedBy)>, TrustError> {
        let Some(file) = self.find(&layout::descriptor(product, version))? else {
            return Ok(None);
        };
        let bytes = match copy {
            Some(copy) if file.check(&copy).is_ok() => copy,
            _ => self.read_target(&file, descriptor::LARGEST)?,
        };
        Ok(Some((Descriptor::parse(&bytes)?, bytes, file.signed_by)))
    }

    /// Every target path below a top folder, of all roles that could be trusted with one.
    fn paths(&mut self, folder: &str) -> Result<BTreeSet<String>, TrustError> {
        let (source, moment) = self.moment()?;
        let mut paths = BTreeSet::new();
        let mut visited = BTreeSet::new();
        let top = moment.roles.top(&source, &moment.trusted)?;
        let mut ahead = vec![top];
        while let Some(role) = ahead.pop() {
            let below = |path: &&String| path.split_once('/').is_some_and(|(top, _)| top == folder);
            paths.extend(role.targets.keys().filter(below).cloned());
            for child in role.delegated().iter().filter(|child| child.paths.may_lie_in(folder)) {
                if visited.insert(child.name.clone()) {
                    let edge =
                        Edge { role: child.name.clone(), delegator: Some(Arc::clone(&role)) };
                    ahead.push(moment.roles.load(&source, &moment.trusted, &edge)?);
                }
            }
        }
        Ok(paths)
    }
}

/// `releases/<product>/<version>/release.json`.
fn release_of(path: &str) -> Option<(Product, Version)> {
    let rest = path.strip_prefix("releases/")?.strip_suffix("/release.json")?;
    let (product, version) = rest.split_once('/')?;
    Some((product.parse().ok()?, version.parse().ok()?))
}

/// `channels/<channel>/<product>.json`.
fn channel_of(path: &str) -> Option<(Channel, Product)> {
    let (channel, product) = path.strip_prefix("channels/")?.split_once('/')?;
    Some((channel.parse().ok()?, product.strip_suffix(".json")?.parse().ok()?))
}
