//! Why metadata or a target is not trusted.

use jiff::Timestamp;

use super::fields::Malformed;
use crate::exit::{Exit, Explain};

/// The reason for which a file was refused. What was trusted before stays so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No metadata at all, or not as the specification prescribes.
    #[error("malformed metadata: {0}")]
    Malformed(#[from] Malformed),
    /// Too few authorised keys have signed it.
    #[error("{role} is signed by {signed} of the {threshold} keys that are needed")]
    Signatures {
        /// The role.
        role: String,
        /// Distinct authorised keys with a good signature.
        signed: u64,
        /// How many it takes.
        threshold: u64,
    },
    /// It says it is another version than the one it was fetched as.
    #[error("{role} should be version {expected}, but is {found}")]
    Version {
        /// The role.
        role: String,
        /// As its delegator, the snapshot or the timestamp has it.
        expected: u64,
        /// What the file says.
        found: u64,
    },
    /// It is older than what was trusted before.
    #[error("{role} went back from version {trusted} to {found}")]
    Rollback {
        /// The role, which need not be the one whose file was refused.
        role: String,
        /// The version that was seen before.
        trusted: u64,
        /// The version that is offered now.
        found: u64,
    },
    /// A role that was there before is gone.
    #[error("{role} is no longer in the snapshot")]
    Removed {
        /// The role.
        role: String,
    },
    /// A role is delegated to, but the snapshot does not have it.
    #[error("{role} is delegated to, but is not in the snapshot")]
    NotInSnapshot {
        /// The role.
        role: String,
    },
    /// It has expired.
    #[error("{role} expired at {expires} (it is {now})")]
    Expired {
        /// The role.
        role: String,
        /// When.
        expires: Timestamp,
        /// The time this run began.
        now: Timestamp,
    },
    /// It is not as long as signed.
    #[error("{file} has {found} bytes, signed are {expected}")]
    Length {
        /// The file.
        file: String,
        /// Bytes as signed.
        expected: u64,
        /// Bytes as received.
        found: u64,
    },
    /// It does not have the digest that is signed.
    #[error("{file} does not have the digest that is signed")]
    Digest {
        /// The file.
        file: String,
    },
    /// Looking for a target led through more roles than is sane.
    #[error("looking for {target} led through more than {cap} roles")]
    TooManyRoles {
        /// What was looked for.
        target: String,
        /// The limit.
        cap: usize,
    },
    /// A target path that could leave the repository.
    #[error("target path {path:?} is unsafe")]
    UnsafeTarget {
        /// The path.
        path: String,
    },
}

impl Explain for Refusal {
    fn exit(&self) -> Exit {
        Exit::NotTrusted
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Expired { role, .. } if matches!(role.as_str(), "timestamp" | "snapshot") => {
                "if this machine's clock is right, the repository needs a `pack refresh`"
            }
            Self::Expired { .. } => {
                "if this machine's clock is right, the repository's keepers must sign it anew"
            }
            Self::Rollback { .. } | Self::Removed { .. } => {
                "the repository, or something before it, shows an older state; nothing was changed here"
            }
            Self::Signatures { .. } => {
                "the file was not signed by this repository's keys, or the wrong root is trusted"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
