//! The built-in stages.

use serde::{Deserialize, Serialize};

use crate::name::StageName;

/// A built-in stage. The order is the one in which a paused change-over (`hold`, `backoff`) goes
/// through them, but for `start` and `health`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltIn {
    /// Find the release in signed metadata.
    Resolve,
    /// See that the node has what the release needs.
    Requires,
    /// Bring the contents.
    Fetch,
    /// Hold them against the signed digests.
    Verify,
    /// Create the prefix.
    Unpack,
    /// Build the environment inside it.
    Build,
    /// Link the node's own files into it.
    Configure,
    /// Everything is on disk: the prefix is whole.
    Seal,
    /// The load balancer sends nothing more here.
    Depool,
    /// Requests begin to wait.
    Hold,
    /// Requests are told to come back.
    Backoff,
    /// Drain and stop the release that runs.
    Stop,
    /// Start the new release.
    Start,
    /// Wait until it is healthy.
    Health,
    /// Rename the symlink: the commit point.
    Switch,
    /// Requests go to the new release.
    Open,
    /// Drain and stop the release that ran before.
    Drain,
    /// The load balancer sends requests here again.
    Repool,
    /// Write the receipt, mark the release good, prune.
    Settle,
}

impl BuiltIn {
    /// All of them, in their order.
    pub const ALL: [Self; 19] = [
        Self::Resolve,
        Self::Requires,
        Self::Fetch,
        Self::Verify,
        Self::Unpack,
        Self::Build,
        Self::Configure,
        Self::Seal,
        Self::Depool,
        Self::Hold,
        Self::Backoff,
        Self::Stop,
        Self::Start,
        Self::Health,
        Self::Switch,
        Self::Open,
        Self::Drain,
        Self::Repool,
        Self::Settle,
    ];

    /// The stage's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Requires => "requires",
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
            Self::Build => "build",
            Self::Configure => "configure",
            Self::Seal => "seal",
            Self::Depool => "depool",
            Self::Hold => "hold",
            Self::Backoff => "backoff",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Health => "health",
            Self::Switch => "switch",
            Self::Open => "open",
            Self::Drain => "drain",
            Self::Repool => "repool",
            Self::Settle => "settle",
        }
    }

    /// The stage's name.
    ///
    /// # Panics
    /// Never: these are names.
    #[must_use]
    pub fn name(self) -> StageName {
        self.as_str().parse().expect("a constant name")
    }

    /// The built-in stage of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// Whether trust or the commit point hangs on it: others may stand before and after it, but
    /// nothing in its place.
    #[must_use]
    pub const fn is_fixed(self) -> bool {
        matches!(
            self,
            Self::Resolve
                | Self::Fetch
                | Self::Verify
                | Self::Unpack
                | Self::Seal
                | Self::Switch
                | Self::Settle
        )
    }

    /// Whether trying it again makes sense.
    #[must_use]
    pub const fn can_retry(self) -> bool {
        matches!(self, Self::Requires | Self::Fetch | Self::Build | Self::Depool | Self::Repool)
    }
}

impl std::fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
