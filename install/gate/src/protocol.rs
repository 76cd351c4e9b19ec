//! What the installer and the gate say to each other on the control socket.
//!
//! One JSON object a line. The client sends a [`Call`]; the gate answers with any number of
//! `"working"` lines, one a second, so that a long call is told from a dead gate, and then one
//! [`Reply::Done`] or [`Reply::Failed`].
//!
//! A conversation begins with [`Call::Hello`], by which each end tells the other which version of this
//! protocol it speaks, and which version of Cutover it is. An end that speaks another major version says
//! so to people, and nothing else is asked. Within a major version unknown fields are passed over, and
//! a call that a gate does not know is answered by a [`Reply::Failed`]; whoever relies on something new
//! looks at the minor version first. Gates before 1.0 knew no `hello`, and close the connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use cutover_formats::exit::Exit;
use cutover_formats::format::Format;
use cutover_formats::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use cutover_node::maintenance::Maintenance;
pub use cutover_node::receipt::SwapFigures;

/// The version of this protocol.
pub(super) const PROTOCOL: Format = Format { name: "cutover.gate", major: 1, minor: 0 };

/// Most bytes of a call; a longer one ends the connection.
pub(super) const LONGEST_CALL: u64 = 64 * 1024;

/// Most bytes of a reply, which may carry a call's words and a service's last ones.
pub(super) const LONGEST_REPLY: u64 = 1024 * 1024;

/// How often the gate says that it is still at work.
pub(super) const WORKING_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// What the installer asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub(super) enum Call {
    /// Which version each end speaks; before all else.
    Hello(Hello),
    /// How is everything?
    Status,
    /// Take the lease. The caller's process is named to whoever else wants it.
    Begin { pid: u32 },
    /// Good answers say that a swap is near.
    Announce { seconds: u64 },
    /// Requests wait.
    Hold,
    /// Requests are told to come back.
    Backoff,
    /// Requests go to the running service.
    Open,
    /// Start a newcomer.
    Start { version: Version },
    /// Wait until the newcomer is healthy.
    WaitHealthy,
    /// Drain and stop the running service.
    StopRunning,
    /// The newcomer becomes the running service.
    Promote,
    /// Drain and stop the service that ran before.
    Retire,
    /// Stop the newcomer.
    Abandon,
    /// Give the lease back.
    Finish,
    /// A gate that is to come after this one asks for all that it needs. The listening socket, the lock,
    /// the control socket and where the log goes come along with the answer, as `SCM_RIGHTS`.
    HandOver { pid: u32 },
    /// It has taken over: this one lets its last clients go, and ends. Where the connection is closed
    /// then, it should hurry.
    TakenOver,
    /// The operator holds the site in maintenance.
    MaintenanceOn(Maintenance),
    /// The operator lets go of it.
    MaintenanceOff,
}

/// What each end says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Its version of this protocol, as [`PROTOCOL`] is written.
    pub(super) protocol: String,
    /// Its version of Cutover, for people.
    pub(super) program: String,
}

impl Hello {
    /// What this program says of itself.
    pub(super) fn mine() -> Self {
        Self { protocol: PROTOCOL.to_string(), program: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

impl Call {
    /// Whether it changes nothing.
    pub(super) fn only_asks(&self) -> bool {
        matches!(self, Self::Hello(_) | Self::Status)
    }

    /// Whether only the holder of the lease may ask for it.
    pub(super) fn needs_lease(&self) -> bool {
        !matches!(
            self,
            Self::Hello(_)
                | Self::Status
                | Self::Begin { .. }
                | Self::HandOver { .. }
                | Self::MaintenanceOn(_)
                | Self::MaintenanceOff
        )
    }
}

/// What the gate says to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// Still at it.
    Working,
    /// Done, with what came of it.
    Done(Outcome),
    /// Not done.
    Failed(Fault),
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// What the gate says of itself.
    Hello(Hello),
    /// Nothing to tell.
    Nothing,
    /// How long it took.
    Seconds(f64),
    /// What the swap cost.
    Figures(SwapFigures),
    /// How everything is.
    Status(Box<GateStatus>),
    /// Everything lies ready for another gate.
    Estate {
        /// The release that it should find well.
        healthy: Option<Version>,
        /// The umask that services get, where none is set for them.
        #[serde(default)]
        umask: Option<u32>,
    },
}

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// Someone else has the lease.
    #[error("another install (process {pid}) is using the gate since {since}")]
    Busy { pid: u32, since: Timestamp },
    /// The newcomer did not become healthy.
    #[error("{version} did not become healthy: {reason}")]
    Unhealthy { version: Version, reason: String, log_tail: Vec<String> },
    /// The service could not even be started.
    #[error("{version} cannot be started: {reason}")]
    CannotStart {
        version: Version,
        reason: String,
        /// The exit code for it, where the node is to blame and not the release.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<u8>,
    },
    /// The call makes no sense now.
    #[error("{0}")]
    OutOfTurn(String),
    /// A file could not be read or written.
    #[error("{0}")]
    Io(String),
}

impl Fault {
    /// Whether somebody else has the port that was free for the service.
    pub(super) fn is_displaced(&self) -> bool {
        matches!(self, Self::CannotStart { node: Some(code), .. } if *code == Exit::Busy.code())
    }

    /// The last words of a service that did not become healthy.
    pub(super) fn log_tail(&self) -> &[String] {
        match self {
            Self::Unhealthy { log_tail, .. } => log_tail,
            _ => &[],
        }
    }
}

/// What requests meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// They go to the running release.
    Open,
    /// They wait.
    Hold,
    /// They are told to come back later.
    Backoff,
    /// The gate is ending: they finish, and connections are told to close.
    Drain,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Hold => "hold",
            Self::Backoff => "backoff",
            Self::Drain => "drain",
        })
    }
}

/// How the gate is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateStatus {
    /// What requests meet.
    pub state: State,
    /// Why, in a few words.
    pub reason: String,
    /// Where clients reach it.
    pub listen: SocketAddr,
    /// The gate's process.
    pub pid: u32,
    /// When the gate started.
    pub since: Timestamp,
    /// The release that is running, if any.
    pub running: Option<Running>,
    /// The release that was started beside it, if any.
    pub newcomer: Option<Version>,
    /// Where the gate reaches that one: `127.0.0.1:<port>` or the path of a unix socket.
    #[serde(default)]
    pub newcomer_address: Option<String>,
    /// The release that is being drained, if any.
    pub retiring: Option<Version>,
    /// Requests that the service is answering.
    pub in_flight: u64,
    /// Requests that are held.
    pub waiting: u64,
    /// The operator's maintenance, while it is on.
    pub maintenance: Option<Maintenance>,
    /// Whether an install holds the gate now: its process.
    pub lease: Option<u32>,
    /// How often a service was started again because it had ended by itself.
    pub restarts: u64,
    /// Requests that each release was given since the gate started.
    pub requests: BTreeMap<Version, u64>,
    /// Requests that got the backoff answer.
    pub refused: u64,
    /// Requests that were held for a while.
    pub held: u64,
    /// Requests that the service broke off.
    pub failed: u64,
}

/// The running release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Which one.
    pub version: Version,
    /// Its process.
    pub pid: Option<u32>,
    /// Where the gate reaches it: `127.0.0.1:<port>` or the path of a unix socket.
    pub address: Option<String>,
    /// Whether it answers.
    pub healthy: bool,
    /// Since when its process runs.
    pub since: Option<Timestamp>,
    /// The rendering of its configuration that held when its process was started, by its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<u64>,
    /// Whether `[service]` in `node.toml` says something else now than when its process was started.
    #[serde(default)]
    pub outdated: bool,
}
