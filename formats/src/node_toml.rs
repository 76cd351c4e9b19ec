//! `node.toml`: what the operator decides for a node.
//!
#![doc = include_str!("../docs/node-toml.md")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::descriptor::Swap;
use crate::exit::{Exit, Explain};
use crate::name::{Channel, Product};
use crate::period::Period;

/// A node's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeToml {
    /// What runs here.
    pub product: Product,
    /// Where releases come from: `file:///path`, a path, or `http(s)://`.
    pub repository: String,
    /// The channel that `install` follows where no version is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// How many good releases `prune` keeps beside the running one.
    #[serde(default = "default_keep")]
    pub keep: usize,
    /// The gate; without it `install` only switches files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What the node adds to the release's own service settings.
    #[serde(default, skip_serializing_if = "NodeService::is_empty")]
    pub service: NodeService,
}

/// How many good releases are kept where nothing is said.
pub const DEFAULT_KEEP: usize = 3;

fn default_keep() -> usize {
    DEFAULT_KEEP
}

/// The gate's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gate {
    /// The address that clients reach.
    pub listen: SocketAddr,
    /// How long a request may wait while the gate holds, before it gets the backoff answer.
    #[serde(default = "default_hold_max")]
    pub hold_max: Period,
    /// How many requests may wait at once; further ones get the backoff answer.
    #[serde(default = "default_hold_queue")]
    pub hold_queue: usize,
    /// Whether `X-Weave-Backoff` and `X-Weave-Maintenance` go with the backoff answer.
    #[serde(default)]
    pub weave_headers: bool,
}

impl Gate {
    /// The settings of a gate on `listen` where nothing else is said.
    #[must_use]
    pub fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            hold_max: default_hold_max(),
            hold_queue: default_hold_queue(),
            weave_headers: false,
        }
    }
}

fn default_hold_max() -> Period {
    Period::seconds(30)
}

fn default_hold_queue() -> usize {
    1024
}

/// What the node adds to the release's own service settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NodeService {
    /// How to change over, whatever the release says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
    /// Environment variables; they win over the release's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl NodeService {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A `node.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("node.toml: {0}")]
pub struct InvalidNodeToml(#[from] toml::de::Error);

impl Explain for InvalidNodeToml {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl NodeToml {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, InvalidNodeToml> {
        Ok(toml::from_str(text)?)
    }
}
