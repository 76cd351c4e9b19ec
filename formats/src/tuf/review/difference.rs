//! One thing that is not as it was.

use std::fmt;

use serde::Serialize;

use crate::digest::Digest;
use crate::tuf::json::Json;

/// One thing that a change would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Difference {
    /// A key signs for a role from now on.
    KeyAdded {
        /// For which role.
        role: String,
        /// The key.
        #[serde(flatten)]
        key: ShownKey,
    },
    /// A key signs for a role no more.
    KeyRemoved {
        /// For which role.
        role: String,
        /// The key.
        #[serde(flatten)]
        key: ShownKey,
    },
    /// So many of so many keys must sign for a role.
    Threshold {
        /// For which role.
        role: String,
        /// How many signatures it took; `None`: not known, or no such role before.
        before: Option<u64>,
        /// How many it takes.
        after: u64,
        /// How many keys there are now.
        keys: u64,
    },
    /// A key is said to be somebody's, or somebody else's.
    Owner {
        /// The key's full id.
        id: String,
        /// Whose it was said to be.
        before: Option<String>,
        /// Whose it is said to be.
        after: Option<String>,
    },
    /// A role is trusted with paths.
    RoleAdded {
        /// Its name.
        role: String,
        /// The paths, or the prefixes of hashes.
        paths: Vec<String>,
        /// Whether its paths are looked for nowhere after it.
        terminating: bool,
        /// The role right before it, which has precedence.
        behind: Option<String>,
    },
    /// A role is trusted no more.
    RoleRemoved {
        /// Its name.
        role: String,
    },
    /// A file is vouched for, or another one than before.
    Target {
        /// Its target path.
        path: String,
        /// What was vouched for.
        before: Option<Content>,
        /// What is.
        after: Content,
    },
    /// A field that `pack` does not write, in metadata whose base is not known.
    Field {
        /// Where it stands.
        at: String,
        /// Its value, JSON.
        value: String,
    },
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownKey {
    /// The digest of the key: computed, not read.
    pub id: String,
    /// 64 hexadecimal digits; for keys of other types than ed25519 all of the key, JSON.
    pub public: String,
    /// Whose it is said to be.
    pub owner: Option<String>,
}

/// A file that is vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    /// Its length, bytes.
    pub length: u64,
    /// Its digest, where there is one.
    pub sha256: Option<Digest>,
    /// What it says: the release that a channel points at, the reason of a withdrawal, what is noted of
    /// another file.
    pub says: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyAdded { role, key } => write!(f, "{role} may be signed by {key}"),
            Self::KeyRemoved { role, key } => write!(f, "{role} may no longer be signed by {key}"),
            Self::Threshold { role, before: None, after, keys } => {
                write!(f, "{role} takes {after} signatures of {keys} keys")
            }
            Self::Threshold { role, before: Some(before), after, keys } => {
                write!(f, "{role} takes {after} signatures of {keys} keys, before {before}")
            }
            Self::Owner { id, before, after } => {
                let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "nobody".into());
                write!(f, "key {id} is called {}, before {}", name(after), name(before))
            }
            Self::RoleAdded { role, paths, terminating, behind } => {
                write!(f, "new role {role} for {}", paths.join(", "))?;
                if *terminating {
                    f.write_str(", and nobody after it")?;
                }
                match behind {
                    Some(behind) => write!(f, "; behind {behind}"),
                    None => f.write_str("; before all others"),
                }
            }
            Self::RoleRemoved { role } => write!(f, "role {role} is gone"),
            Self::Target { path, before: None, after } => write!(f, "new: {path}: {after}"),
            Self::Target { path, before: Some(before), after } => {
                write!(f, "{path}: {after}; before: {before}")
            }
            Self::Field { at, value } => write!(f, "{at} is {value}"),
        }
    }
}

impl fmt::Display for ShownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.id)?;
        if let Some(owner) = &self.owner {
            write!(f, " of {owner}")?;
        }
        write!(f, " (public key {})", self.public)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.says.is_empty() {
            write!(f, "{}, ", self.says)?;
        }
        write!(f, "{} bytes", self.length)?;
        match self.sha256 {
            Some(sha256) => write!(f, ", sha256 {sha256}"),
            None => Ok(()),
        }
    }
}

/// JSON on one line.
pub(super) fn text(json: &Json) -> String {
    String::from_utf8_lossy(&json.to_bytes()).into_owned()
}
