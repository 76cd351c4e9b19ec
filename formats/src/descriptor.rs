//! The descriptor, `release.json`: what a release is and how it is run.
//!
#![doc = include_str!("../docs/descriptor.md")]

mod assets;
mod config;
mod service;
mod signal;

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::bundle::ExpectedFrames;
use crate::digest::Digest;
use crate::exit::{Exit, Explain};
use crate::filelist::Expected;
use crate::format::{Format, UnknownFormat};
use crate::input::{Input, InputName};
use crate::name::Product;
use crate::path::{FileName, RelPath};
use crate::schema::Schema;
use crate::stage::{Check, Stages};

pub use assets::{AssetPath, Assets, InvalidAssetPath};
pub use config::ConfigFile;
pub use service::{Health, Service, Swap};
pub use signal::{InvalidStopSignal, StopSignal};

/// The descriptor's format.
pub const FORMAT: Format = Format { name: "cutover.release", major: 1, minor: 3 };

/// Most bytes a descriptor may have.
pub const LARGEST: u64 = 4 << 20;

/// A release, described. Equal releases have byte-identical descriptors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// `cutover.release/1.3`.
    pub format: String,
    /// What is released.
    pub product: Product,
    /// Which one.
    pub version: Version,
    /// Where it came from.
    pub source: Source,
    /// The signed list of everything in the prefix.
    pub files: FileListRef,
    /// Ways to transport the contents; at least the bundle.
    pub carriers: Vec<Carrier>,
    /// Third-party distributions inside the release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vendored: Vec<Vendored>,
    /// What must be on the node.
    #[serde(default)]
    pub requires: Requires,
    /// The Python environment to build in the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<Python>,
    /// How a node runs it; a release without a service is only files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Files of the node's own seen from inside the prefix, by their path there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<RelPath, ConfigFile>,
    /// Files that the gate serves by itself, for as long as the release is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets: Option<Assets>,
    /// Stages of its own, and what it says about the built-in ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: Stages,
    /// What must hold before and after stages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Which versions of its database it is at home with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// What the node is asked for, to be put into templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<InputName, Input>,
}

/// Where a release came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `git` or `tree`.
    pub kind: SourceKind,
    /// The full commit id, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tag, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Commit time, seconds since 1970: the modification time of every file.
    pub time: u64,
}

/// What kind of source tree a release was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A tag of a git repository.
    Git,
    /// A staging folder without version control.
    Tree,
}

/// The file list, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileListRef {
    /// File name beside the descriptor (without the digest that the repository puts before it).
    pub file: FileName,
    /// Digest of the compressed list.
    pub sha256: Digest,
    /// Bytes of the compressed list.
    pub size: u64,
    /// Digest of the uncompressed list.
    pub text_sha256: Digest,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the sizes of all files, bytes.
    pub bytes: u64,
}

/// The frame table of a bundle, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameTableRef {
    /// File name beside the descriptor (without the digest before it).
    pub file: FileName,
    /// Digest of the table.
    pub sha256: Digest,
    /// Bytes of the table.
    pub size: u64,
}

/// A way to transport the contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Carrier {
    /// Everything, as `<product>-<version>.tar.zst`.
    Bundle {
        /// File name beside the descriptor (without the digest before it).
        file: FileName,
        /// Digest of the compressed bundle.
        sha256: Digest,
        /// Bytes of the compressed bundle.
        size: u64,
        /// Its frame table.
        frames: FrameTableRef,
    },
    /// A carrier of a later minor version, which this program passes over.
    #[serde(other)]
    Unknown,
}

/// A third-party distribution inside the release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vendored {
    /// `python` or `file`; the folder of the vendor area it is published in.
    pub kind: String,
    /// Its own name, e.g. `kinto`.
    pub name: String,
    /// Its own version, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// File name, e.g. `kinto-26.4.0-py3-none-any.whl`.
    pub file: String,
    /// Where it lies in the prefix.
    pub path: RelPath,
    /// Digest of the distribution, as locked.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

/// What must be on the node before anything is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requires {
    /// Programs that must be found in `PATH`.
    #[serde(default)]
    pub commands: Vec<String>,
}

/// The Python environment that the node builds, offline, from wheels in the prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// The interpreter to build it with, e.g. `python3.11`; found in the node's `PATH`.
    pub interpreter: String,
    /// The lock file in the prefix, with hashes.
    pub requirements: RelPath,
    /// The folder of wheels in the prefix.
    pub wheels: RelPath,
    /// The folder that the environment is built in.
    pub env: RelPath,
}

/// A descriptor that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDescriptor {
    /// Another format or a newer one.
    #[error("descriptor: {0}")]
    Format(#[from] UnknownFormat),
    /// Not JSON, or not of the shape the format prescribes.
    #[error("descriptor: {0}")]
    Shape(#[from] serde_json::Error),
    /// It has no carrier that this program knows.
    #[error("descriptor of {product} {version} names no bundle")]
    NoBundle {
        /// The product.
        product: Product,
        /// The version.
        version: Version,
    },
}

impl Explain for InvalidDescriptor {
    fn exit(&self) -> Exit {
        match self {
            Self::Format(error) => error.exit(),
            Self::Shape(_) | Self::NoBundle { .. } => Exit::NotTrusted,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Format(error) => error.hints(),
            Self::Shape(_) | Self::NoBundle { .. } => Vec::new(),
        }
    }
}

/// The bundle among a descriptor's carriers.
#[derive(Clone, Copy, Debug)]
pub struct BundleRef<'a> {
    /// File name beside the descriptor.
    pub file: &'a FileName,
    /// Digest of the compressed bundle.
    pub sha256: Digest,
    /// Bytes of the compressed bundle.
    pub size: u64,
    /// Its frame table.
    pub frames: &'a FrameTableRef,
}

impl Descriptor {
    /// Reads a descriptor; the caller has verified `bytes` against signed metadata.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDescriptor> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_slice(bytes)?;
        FORMAT.accept(&head.format)?;
        let descriptor: Self = serde_json::from_slice(bytes)?;
        descriptor.bundle_carrier().ok_or_else(|| InvalidDescriptor::NoBundle {
            product: descriptor.product.clone(),
            version: descriptor.version.clone(),
        })?;
        Ok(descriptor)
    }

    /// The bytes that are signed and published: JSON, indented, with a final newline.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a descriptor is always JSON");
        bytes.push(b'\n');
        bytes
    }

    fn bundle_carrier(&self) -> Option<BundleRef<'_>> {
        self.carriers.iter().find_map(|carrier| match carrier {
            Carrier::Bundle { file, sha256, size, frames } => {
                Some(BundleRef { file, sha256: *sha256, size: *size, frames })
            }
            Carrier::Unknown => None,
        })
    }

    /// What the file list must be, for [`FileList::parse`](crate::filelist::FileList::parse).
    #[must_use]
    pub fn expected_files(&self) -> Expected<'_> {
        Expected {
            product: &self.product,
            version: &self.version,
            time: self.source.time,
            sha256: self.files.sha256,
            size: self.files.size,
            text_sha256: self.files.text_sha256,
            entries: self.files.entries,
            bytes: self.files.bytes,
        }
    }

    /// What the bundle's frame table must be, for [`FrameTable::parse`](crate::bundle::FrameTable::parse).
    ///
    /// # Panics
    /// As [`bundle`](Self::bundle).
    #[must_use]
    pub fn expected_frames(&self) -> ExpectedFrames {
        let BundleRef { size: bundle, frames, .. } = self.bundle();
        ExpectedFrames { sha256: frames.sha256, size: frames.size, bundle }
    }

    /// Whether any file is rendered for it on the node.
    #[must_use]
    pub fn renders(&self) -> bool {
        self.config.values().any(|file| file.template().is_some())
    }

    /// The bundle.
    ///
    /// # Panics
    /// Where the descriptor was put together without one; a parsed descriptor always has it.
    #[must_use]
    pub fn bundle(&self) -> BundleRef<'_> {
        self.bundle_carrier().expect("a descriptor has a bundle")
    }
}
