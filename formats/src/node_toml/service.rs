//! `[service]`: what the node adds to the release's own service settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::descriptor::Swap;

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
    /// Whether the node adds nothing.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
