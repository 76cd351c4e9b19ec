//! `[gate]`: where clients reach the node, and what they are told during a swap.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::period::Period;

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
