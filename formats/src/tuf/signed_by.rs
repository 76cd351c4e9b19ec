//! Whose word a file is: the role that vouches for it, and the keys that signed for the role.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::metadata::Verified;
use super::names;
use super::root::Root;
use super::search::Edge;
use super::targets::Targets;

/// Who signed for a file, as it was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBy {
    /// The metadata role.
    pub role: String,
    /// The keys whose signatures counted.
    pub keys: Vec<SigningKey>,
}

/// A key that signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its id.
    pub id: String,
    /// What whoever appointed it calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl SignedBy {
    /// Who signed for `role`, at the end of `edge`.
    #[must_use]
    pub fn new(edge: &Edge, role: &Verified<Targets>, root: &Root) -> Self {
        let unknown = match &edge.delegator {
            Some(delegator) => delegator.delegations.as_ref().map(|all| &all.unknown),
            None => Some(&root.unknown),
        };
        let name = |id| names::of_key(unknown?, id).map(printable);
        let keys = role.keyids().iter().map(|id| SigningKey { id: printable(id), name: name(id) });
        Self { role: printable(&edge.role), keys: keys.collect() }
    }
}

/// It is going to be printed.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

impl fmt::Display for SignedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.role)?;
        for (index, key) in self.keys.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let short: String = key.id.chars().take(8).collect();
            write!(f, "{comma}key {short}")?;
            if let Some(name) = &key.name {
                write!(f, " of {name}")?;
            }
        }
        f.write_str(")")
    }
}
