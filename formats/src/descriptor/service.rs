//! How a node runs a release: the command, when it is healthy, how one takes over from another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signal::StopSignal;
use crate::period::Period;
use crate::send_headers::SendHeaders;

/// How a node runs the release.
///
/// In `command` and in the values of `env` these stand for what the node decides: `{prefix}`,
/// `{version}`, `{root}`, `{listen}` (`127.0.0.1:<port>`), `{port}`, `{socket}` (the path of a unix
/// socket; a command that uses it is reached there instead of by TCP).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// The program and its arguments; no shell.
    pub command: Vec<String>,
    /// Environment variables on top of the node's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// When the service counts as healthy.
    #[serde(default)]
    pub health: Health,
    /// How the node changes from the release before to this one.
    #[serde(default)]
    pub swap: Swap,
    /// How long requests in flight may take to end, and then the service itself, before SIGKILL.
    #[serde(default = "default_drain")]
    pub drain: Period,
    /// What it is sent first when it is to end.
    #[serde(default, skip_serializing_if = "StopSignal::is_default")]
    pub stop_signal: StopSignal,
}

fn default_drain() -> Period {
    Period::seconds(10)
}

/// When a service counts as healthy: a `GET` answers with a status from 200 to 399.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Health {
    /// Path and query.
    pub path: String,
    /// Fields of the request beside, or in place of, those that it always has.
    #[serde(skip_serializing_if = "SendHeaders::is_empty")]
    pub send_headers: SendHeaders,
    /// How long it may take after the start.
    pub within: Period,
    /// How long it must stay so, serving already, before an install counts as done.
    #[serde(rename = "for", skip_serializing_if = "is_default_stay")]
    pub stay: Period,
}

/// Enough for what dies with its first requests.
const DEFAULT_STAY: Period = Period::millis(500);

fn is_default_stay(stay: &Period) -> bool {
    *stay == DEFAULT_STAY
}

impl Default for Health {
    fn default() -> Self {
        let send_headers = SendHeaders::default();
        Self { path: "/".to_owned(), send_headers, within: Period::seconds(30), stay: DEFAULT_STAY }
    }
}

/// How a node changes from one release to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Swap {
    /// The new one starts beside the old; nothing waits.
    #[default]
    BlueGreen,
    /// Stop, switch, start, while requests wait.
    Hold,
    /// Stop, switch, start, while requests are told to come back.
    Backoff,
}

impl std::fmt::Display for Swap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BlueGreen => "blue-green",
            Self::Hold => "hold",
            Self::Backoff => "backoff",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 1.1 wrote it, and as it is written still where nothing is said.
    const SILENT: &str = r#"{"command":["serve","{listen}"],"health":{"path":"/","within":"30s"},"swap":"hold","drain":"10s"}"#;

    #[test]
    fn a_descriptor_without_a_stop_signal_means_term() {
        let service: Service = serde_json::from_str(SILENT).unwrap();
        assert_eq!(service.stop_signal, StopSignal::Term);
        assert_eq!(serde_json::to_string(&service).unwrap(), SILENT);
    }

    #[test]
    fn a_stop_signal_is_written_by_its_short_name() {
        let said = |signal: &str| {
            SILENT.replace(
                r#""drain":"10s"}"#,
                &format!(r#""drain":"10s","stop-signal":"{signal}"}}"#),
            )
        };
        let service: Service = serde_json::from_str(&said("SIGKILL")).unwrap();
        assert_eq!(service.stop_signal, StopSignal::Kill);
        assert_eq!(serde_json::to_string(&service).unwrap(), said("KILL"));
        let refused = serde_json::from_str::<Service>(&said("9")).unwrap_err().to_string();
        assert!(refused.starts_with("`9` is not a signal that ends a service"), "{refused}");
    }
}
