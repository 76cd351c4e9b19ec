//! `[service] manager`: who starts and stops the service's processes, where the gate does not itself.

use serde::{Deserialize, Serialize};

/// Who starts and stops the service's processes. In all texts the same stands for what the node
/// decides as in the release's own command: `{version}`, `{port}`, `{listen}`, `{socket}`, `{prefix}`,
/// `{root}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Manager {
    /// systemd, by `systemctl`.
    Systemd {
        /// The unit, e.g. `weave@{version}.service`.
        unit: String,
    },
    /// Whatever commands know: programs with their arguments, no shell.
    Command {
        /// Ends with 0 when the service has been started.
        start: Vec<String>,
        /// Ends with 0 when it has ended.
        stop: Vec<String>,
        /// Ends with 0 while it runs.
        status: Vec<String>,
        /// Ends it at once, where `stop` did not in time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kill: Option<Vec<String>>,
    },
}

/// The commands of a manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// Ends with 0 when the service has been started.
    pub start: Vec<String>,
    /// Ends with 0 when it has ended.
    pub stop: Vec<String>,
    /// Ends with 0 while it runs.
    pub status: Vec<String>,
    /// Ends it at once.
    pub kill: Option<Vec<String>>,
}

impl Manager {
    /// What it is told, placeholders and all.
    #[must_use]
    pub fn orders(&self) -> Orders {
        match self {
            Self::Systemd { unit } => {
                let systemctl = |words: &[&str]| {
                    let words = ["systemctl"].iter().chain(words).copied();
                    words.chain([unit.as_str()]).map(str::to_owned).collect()
                };
                Orders {
                    start: systemctl(&["start"]),
                    stop: systemctl(&["stop"]),
                    status: systemctl(&["is-active", "--quiet"]),
                    kill: Some(systemctl(&["kill", "--signal=KILL"])),
                }
            }
            Self::Command { start, stop, status, kill } => Orders {
                start: start.clone(),
                stop: stop.clone(),
                status: status.clone(),
                kill: kill.clone(),
            },
        }
    }

    /// Whether two releases can run at once: what starts one must tell it from the other.
    #[must_use]
    pub fn tells_releases_apart(&self) -> bool {
        let texts = self.orders().start;
        ["{version}", "{port}", "{listen}", "{socket}", "{prefix}"]
            .iter()
            .any(|which| texts.iter().any(|text| text.contains(which)))
    }
}
