//! `[gate]`: where clients reach the node, and what they are told during a swap.
//!
#![doc = include_str!("../../docs/gate.md")]
#![doc = ""]
#![doc = include_str!("../../docs/front-ends.md")]

mod access_log;
mod backoff;
mod open_path;
mod upgrade;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::period::Period;
use crate::size::Size;

pub use access_log::AccessLog;
pub use backoff::BackoffHeader;
pub use open_path::{InvalidOpenPath, OpenPath};
pub use upgrade::{InvalidUpgrade, Upgrade};

/// The gate's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gate {
    /// The address that clients reach.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Whether the gate serves the application.
    #[serde(default)]
    pub role: Role,
    /// How long a request may wait while the gate holds, before it gets the backoff answer.
    #[serde(default = "default_hold_max")]
    pub hold_max: Period,
    /// How many requests may wait at once; further ones get the backoff answer.
    #[serde(default = "default_hold_queue")]
    pub hold_queue: usize,
    /// The fields beside `Retry-After` that tell clients to stay away.
    #[serde(default = "default_backoff_headers")]
    pub backoff_headers: Vec<BackoffHeader>,
    /// The operator's own maintenance page, absolute or relative to the node's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PathBuf>,
    /// The same for programs, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_page: Option<PathBuf>,
    /// Paths that go to the service, where one runs, even while others wait or are sent away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<OpenPath>,
    /// How long a client may keep the gate waiting, for a head, for a body, or in taking an answer.
    #[serde(default = "default_patience")]
    pub patience: Period,
    /// What a client's connection may become; other wishes are passed over.
    #[serde(default = "default_upgrades")]
    pub upgrades: Vec<Upgrade>,
    /// How many connections there may be.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
    /// How many of them may be one client's: an IPv4 address, or an IPv6 network of 64 bits.
    #[serde(default = "default_max_per_client")]
    pub max_per_client: usize,
    /// How much of answers may lie unread by clients that take nothing at the moment.
    #[serde(default = "default_max_unread")]
    pub max_unread: Size,
    /// How much of it may be one client's.
    #[serde(default = "default_max_unread_per_client")]
    pub max_unread_per_client: Size,
    /// Where the gate's numbers can be read, at `/metrics`; nowhere, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_address")]
    pub metrics: Option<SocketAddr>,
    /// Where requests are written down; nowhere, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
}

/// What the gate is to the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// All requests go through it, to the service that it runs.
    #[default]
    Serve,
    /// A front end serves the application, and turns to the gate while `install` changes over. The
    /// gate runs no service, and answers with the backoff answer whatever reaches it.
    Maintenance,
}

impl Gate {
    /// The settings of a gate on `listen` where nothing else is said.
    #[must_use]
    pub fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            role: Role::Serve,
            hold_max: default_hold_max(),
            hold_queue: default_hold_queue(),
            backoff_headers: default_backoff_headers(),
            page: None,
            json_page: None,
            always: Vec::new(),
            patience: default_patience(),
            upgrades: default_upgrades(),
            max_connections: default_max_connections(),
            max_per_client: default_max_per_client(),
            max_unread: default_max_unread(),
            max_unread_per_client: default_max_unread_per_client(),
            metrics: None,
            access_log: None,
        }
    }
}

/// Names are not looked up: the gate must come up before anything that answers for them.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "`{text}` is not an address with a port, such as `127.0.0.1:8080` or `[::1]:8080`"
        ))
    })
}

fn some_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
}

fn default_hold_max() -> Period {
    Period::seconds(30)
}

fn default_hold_queue() -> usize {
    1024
}

fn default_backoff_headers() -> Vec<BackoffHeader> {
    vec![BackoffHeader::XBackoff]
}

fn default_patience() -> Period {
    Period::seconds(60)
}

fn default_upgrades() -> Vec<Upgrade> {
    vec![Upgrade::websocket()]
}

fn default_max_connections() -> usize {
    16_384
}

/// Half, so that nobody alone can keep all others out.
fn default_max_per_client() -> usize {
    default_max_connections() / 2
}

fn default_max_unread() -> Size {
    Size::mebibytes(1024)
}

/// Half, as of the connections.
fn default_max_unread_per_client() -> Size {
    Size::mebibytes(512)
}
