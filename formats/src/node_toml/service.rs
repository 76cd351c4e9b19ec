//! `[service]`: what the node adds to the release's own service settings.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::manager::Manager;
use crate::descriptor::{StopSignal, Swap};
use crate::period::Period;
use crate::send_headers::SendHeaders;
use crate::size::Size;

/// What the node adds to the release's own service settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NodeService {
    /// How to change over, whatever the release says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
    /// What the node adds to the question for its health.
    #[serde(skip_serializing_if = "NodeHealth::is_default")]
    pub health: NodeHealth,
    /// What the service is sent first when it is to end, whatever the release says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<StopSignal>,
    /// Environment variables; they win over the release's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Who starts and stops its processes, where the gate does not itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
    /// Whom the service runs as, where that is not the gate's own user; needs a gate run by root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its group, in place of the user's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What a process of the service may use.
    #[serde(skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Permissions that files of the service do not get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<Umask>,
    /// What becomes of its output.
    #[serde(skip_serializing_if = "Log::is_default")]
    pub log: Log,
    /// How long the service may think about a request; as long as it likes where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_within: Option<Period>,
    /// When a service that runs counts as stuck.
    #[serde(skip_serializing_if = "Liveness::is_default")]
    pub liveness: Liveness,
}

impl NodeService {
    /// What of it cannot be had together: the key, and what is wrong with it.
    pub(super) fn contradiction(&self) -> Option<(&'static str, String)> {
        let manager = self.manager.as_ref()?;
        let orders = manager.orders();
        if orders.start.is_empty() || orders.stop.is_empty() || orders.status.is_empty() {
            return Some(("manager", "has an empty command".to_owned()));
        }
        if !manager.tells_releases_apart() && matches!(self.swap, None | Some(Swap::BlueGreen)) {
            let why = "starts every release in the same way, so that two cannot run at once: name \
                       {version} or {port} in it, or say swap = \"hold\" or \"backoff\"";
            return Some(("manager", why.to_owned()));
        }
        if self.stop_signal.is_some() {
            let why = "is for a service that the gate stops itself, and here `manager` does";
            return Some(("stop-signal", why.to_owned()));
        }
        let said = [
            ("user", self.user.is_some()),
            ("group", self.group.is_some()),
            ("limits", self.limits != Limits::default()),
            ("umask", self.umask.is_some()),
        ];
        let (key, _) = said.into_iter().find(|(_, said)| *said)?;
        match manager {
            Manager::Systemd { .. } => {
                Some((key, "is the unit's to say where systemd starts the service".to_owned()))
            }
            Manager::Command { .. } => None,
        }
    }

    /// Whether the node adds nothing.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the node adds to the question for the service's health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NodeHealth {
    /// Fields of the request; they win over the release's.
    pub send_headers: SendHeaders,
}

impl NodeHealth {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a process of the service may use; nothing said is what the gate has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Open files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// Processes and threads of its user, all in all; does not bind root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nproc: Option<u64>,
    /// Address space of one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Permissions that new files do not get, in octal: `"0027"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Umask(u32);

/// Not a umask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a umask such as \"0027\"")]
pub struct InvalidUmask(String);

impl Umask {
    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Umask {
    type Error = InvalidUmask;

    fn try_from(text: String) -> Result<Self, InvalidUmask> {
        match u32::from_str_radix(&text, 8) {
            Ok(bits @ 0..=0o777) if !text.starts_with('+') => Ok(Self(bits)),
            _ => Err(InvalidUmask(text)),
        }
    }
}

impl From<Umask> for String {
    fn from(umask: Umask) -> Self {
        format!("{:04o}", umask.0)
    }
}

/// What becomes of the service's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"journal\", or { size = \"10MiB\", files = 5 } or one of these"
)]
pub enum Log {
    /// The system's journal has it, by way of the gate's own output.
    Journal(Journal),
    /// Files below `run/`, which take each other's place.
    Files(LogFiles),
}

/// The word `"journal"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Journal {
    /// The system's journal.
    Journal,
}

/// Files of output that take each other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogFiles {
    /// How large one may become.
    pub size: Size,
    /// How many are kept for a release, the one that is written among them.
    pub files: NonZeroU32,
}

impl Default for LogFiles {
    fn default() -> Self {
        Self { size: Size::mebibytes(10), files: NonZeroU32::MIN.saturating_add(4) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::Files(LogFiles::default())
    }
}

impl Log {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When a service that runs counts as stuck: it gives no answer at all, good or bad, to the
/// question for its health, several times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Liveness {
    /// Time from one answer to the next question.
    pub every: Period,
    /// How long an answer may take.
    pub within: Period,
    /// After so many questions without an answer it is started again; zero: never.
    pub failures: u32,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { every: Period::seconds(10), within: Period::seconds(30), failures: 3 }
    }
}

impl Liveness {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_back() {
        let text = "stop-signal = \"SIGQUIT\"\nuser = \"web\"\numask = \"0027\"\nlimits = { nofile = 4096, memory = \"2GiB\" }\n\
                    log = { size = \"1MiB\", files = 2 }\nliveness = { every = \"5s\" }\n";
        let service: NodeService = toml::from_str(text).unwrap();
        assert_eq!(service.stop_signal, Some(StopSignal::Quit));
        assert_eq!(service.umask.unwrap().bits(), 0o27);
        assert_eq!(service.limits.memory.unwrap().bytes(), 2 << 30);
        assert_eq!((service.liveness.failures, service.liveness.within), (3, Period::seconds(30)));
        let again: NodeService = toml::from_str(&toml::to_string(&service).unwrap()).unwrap();
        assert_eq!(again, service);
        let journal: NodeService = toml::from_str("log = \"journal\"").unwrap();
        assert_eq!(journal.log, Log::Journal(Journal::Journal));
        let nothing: NodeService = toml::from_str("").unwrap();
        assert!(nothing.is_empty() && toml::to_string(&nothing).unwrap().is_empty());
    }

    #[test]
    fn a_manager_must_tell_releases_apart_to_run_two() {
        let parse = |text: &str| toml::from_str::<NodeService>(text).unwrap().contradiction();
        let unit = |unit: &str| format!("manager = {{ kind = \"systemd\", unit = \"{unit}\" }}\n");
        assert_eq!(parse(&unit("weave@{version}.service")), None);
        assert!(parse(&unit("weave.service")).unwrap().1.contains("two cannot run"));
        assert_eq!(parse(&(unit("weave.service") + "swap = \"hold\"")), None);
        let user = parse(&(unit("weave@{port}.service") + "user = \"web\""));
        assert_eq!(user.unwrap().0, "user");
        let signal = parse(&(unit("weave@{port}.service") + "stop-signal = \"KILL\""));
        assert_eq!(signal.unwrap().0, "stop-signal");
        let command = "user = \"web\"\nmanager = { kind = \"command\", start = [\"up\", \"{port}\"], \
                       stop = [\"down\"], status = [\"is-up\"] }";
        assert_eq!(parse(command), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "stop-signal = \"STOP\"",
            "umask = \"0888\"",
            "umask = \"1777\"",
            "log = \"syslog\"",
            "log = { files = 0 }",
            "limits = { memory = \"much\" }",
            "limits = { cpu = 1 }",
        ] {
            assert!(toml::from_str::<NodeService>(text).is_err(), "{text}");
        }
    }
}
