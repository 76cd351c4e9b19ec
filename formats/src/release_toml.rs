//! `release.toml`: what a source tree says about its own releases.
//!
#![doc = include_str!("../docs/release-toml.md")]

mod error;
mod rules;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::descriptor::{Assets, ConfigFile, Requires, Service};
use crate::digest::Digest;
use crate::document::Document;
use crate::input::{Input, InputName};
use crate::name::Product;
use crate::path::RelPath;
use crate::schema::Schema;
use crate::spelling::slips;
use crate::stage::{Check, Stages};
use crate::version::TagPattern;

pub use error::InvalidReleaseToml;

/// Where it lies in the source tree.
pub const FILE_NAME: &str = "release.toml";

/// Most bytes it may have.
pub const LARGEST: u64 = 1 << 20;

/// What a source tree says about its own releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ReleaseToml {
    /// What is released and how tags name it.
    pub release: Release,
    /// What must hold before there is a release.
    pub checks: Checks,
    /// Third-party distributions that become part of the release.
    pub vendor: Vendor,
    /// What must be on the node.
    pub requires: Requires,
    /// How a node runs it.
    pub service: Option<Service>,
    /// Files of the node's own seen from inside the prefix, by their path there.
    pub config: BTreeMap<RelPath, ConfigFile>,
    /// Files that the gate serves by itself.
    pub assets: Option<Assets>,
    /// `[stage.<name>]`: steps of an install of its own, and settings of the built-in ones.
    pub stage: Stages,
    /// `[[check]]`: what must hold before and after stages, on the node.
    pub check: Vec<Check>,
    /// Which versions of its database it is at home with.
    pub schema: Option<Schema>,
    /// What the node is asked for, to be put into templates.
    pub inputs: BTreeMap<InputName, Input>,
}

/// `[release]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Release {
    /// What is released; where it is missing it must be given on the command line.
    pub product: Option<Product>,
    /// How tags name versions.
    #[serde(deserialize_with = "tag_pattern")]
    pub tag: TagPattern,
    /// Globs of what the release leaves out, matched against paths from the top of the tree.
    pub exclude: Vec<String>,
    /// Whether names that differ only by case or composition are refused when a release is made.
    pub portable_names: bool,
}

/// `[checks]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Checks {
    /// Shell commands that must succeed in a clean export of the tag, in this order.
    pub before_release: Vec<String>,
}

/// `[vendor]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Vendor {
    /// `[vendor.python]`: wheels and sdists.
    pub python: Option<VendorPython>,
    /// `[[vendor.file]]`: anything else.
    pub file: Vec<VendorFile>,
}

impl Vendor {
    /// Whether nothing is vendored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.python.is_none() && self.file.is_empty()
    }
}

/// `[vendor.python]`: locked distributions, from which the node builds an environment offline.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VendorPython {
    /// The lock file, with hashes.
    pub requirements: RelPath,
    /// The interpreter that the environment is for, e.g. `python3.11`.
    #[serde(default = "default_interpreter")]
    pub interpreter: String,
    /// A folder of the source tree that holds the distributions; no index is asked then.
    #[serde(default)]
    pub find_links: Option<RelPath>,
    /// The folder of the release that the distributions go to.
    #[serde(default = "default_wheels")]
    pub wheels: RelPath,
    /// The folder of the prefix that the environment is built in.
    #[serde(default = "default_env")]
    pub env: RelPath,
}

fn default_interpreter() -> String {
    "python3".to_owned()
}

fn default_wheels() -> RelPath {
    "vendor/python".parse().expect("a constant path")
}

fn default_env() -> RelPath {
    "env".parse().expect("a constant path")
}

/// One `[[vendor.file]]`: a file from somewhere else, locked by digest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawVendorFile")]
pub struct VendorFile {
    /// Where it comes from.
    pub url: FileUrl,
    /// What it must be.
    pub sha256: Digest,
    /// Where it goes in the release.
    pub path: RelPath,
}

#[derive(Deserialize)]
struct RawVendorFile {
    url: FileUrl,
    sha256: Digest,
    path: Option<RelPath>,
}

impl TryFrom<RawVendorFile> for VendorFile {
    type Error = InvalidUrl;

    fn try_from(raw: RawVendorFile) -> Result<Self, InvalidUrl> {
        let place = || {
            let nameless = || raw.url.refuse("names no file; say where it goes with `path`");
            format!("vendor/files/{}", raw.url.last_segment()).parse().map_err(|_| nameless())
        };
        let path = raw.path.clone().map_or_else(place, Ok)?;
        Ok(Self { url: raw.url, sha256: raw.sha256, path })
    }
}

/// Where a file comes from: `http://`, `https://` or `file:///`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FileUrl(String);

/// An address that files cannot be fetched from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address `{url}` {why}")]
pub struct InvalidUrl {
    url: String,
    why: &'static str,
}

impl FileUrl {
    /// The address as given, credentials included: for the transport, never for people.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after the last slash.
    fn last_segment(&self) -> &str {
        let path = self.0.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        path.and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default()
    }

    fn refuse(&self, why: &'static str) -> InvalidUrl {
        InvalidUrl { url: self.to_string(), why }
    }
}

impl TryFrom<String> for FileUrl {
    type Error = InvalidUrl;

    fn try_from(url: String) -> Result<Self, InvalidUrl> {
        let url = Self(url);
        if url.0.chars().any(|c| c.is_control() || c == ' ') {
            return Err(url.refuse("has a space or a control character"));
        }
        if url.0.contains(['?', '#']) {
            return Err(url.refuse("has a `?` or `#` part; a locked file has a lasting address"));
        }
        match url.0.split_once("://") {
            Some(("http" | "https", rest)) if !rest.is_empty() && !rest.starts_with('/') => Ok(url),
            Some(("file", rest)) if rest.starts_with('/') => Ok(url),
            Some(("file", _)) => Err(url.refuse("needs three slashes: file:///path")),
            _ => Err(url.refuse("is none of http://, https:// and file:///")),
        }
    }
}

/// Without what may be a secret: user, password and query.
impl fmt::Display for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = plain.split_once("://").unwrap_or(("", plain));
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if scheme.is_empty() { f.write_str(rest) } else { write!(f, "{scheme}://{host}{path}") }
    }
}

impl fmt::Debug for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileUrl({self})")
    }
}

fn tag_pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TagPattern, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl ReleaseToml {
    /// What to say about what looks like a placeholder in a command and would reach it as it is.
    pub fn misspelt_placeholders(&self) -> impl Iterator<Item = String> {
        let service = self.service.iter().flat_map(|service| {
            let words = service.command.iter().chain(service.env.values());
            slips("[service] of release.toml", words.map(String::as_str))
        });
        let stages = self.stage.iter().flat_map(|(name, entry)| {
            let lines = entry.run.iter().chain(&entry.undo);
            let place = format!("[stage.{name}] of release.toml");
            slips(&place, lines.flat_map(|line| line.texts())).collect::<Vec<_>>()
        });
        service.chain(stages)
    }

    /// Reads the file's text. A key that means nothing is refused: it is a misspelling, or asks
    /// for something that this version would silently not do.
    pub fn parse(text: &str) -> Result<Self, InvalidReleaseToml> {
        let document = Document::parse(text).map_err(error::shape(text))?;
        rules::sections(&document)?;
        let (parsed, unknown) = document.read::<Self>().map_err(error::shape(text))?;
        match unknown {
            Some(keys) => Err(rules::unknown_key(&document, &keys)),
            None => rules::values(&document, &parsed).map(|()| parsed),
        }
    }
}

#[cfg(test)]
mod tests;
