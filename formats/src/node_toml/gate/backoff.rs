//! The names under which clients look for the time to stay away.

use serde::{Deserialize, Serialize};

/// A field that goes with the backoff answer, beside `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackoffHeader {
    /// `X-Backoff: <seconds>`.
    #[serde(rename = "X-Backoff")]
    XBackoff,
    /// `Backoff: <seconds>`.
    #[serde(rename = "Backoff")]
    Backoff,
    /// `X-Weave-Backoff: <seconds>`.
    #[serde(rename = "X-Weave-Backoff")]
    XWeaveBackoff,
    /// `X-Weave-Maintenance: true`; never on good answers.
    #[serde(rename = "X-Weave-Maintenance")]
    XWeaveMaintenance,
}

impl BackoffHeader {
    /// The field's name as HTTP/2 and most programs write it.
    #[must_use]
    pub const fn lower_case(self) -> &'static str {
        match self {
            Self::XBackoff => "x-backoff",
            Self::Backoff => "backoff",
            Self::XWeaveBackoff => "x-weave-backoff",
            Self::XWeaveMaintenance => "x-weave-maintenance",
        }
    }
}
