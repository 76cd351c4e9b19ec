//! The gate: one process per node that owns the listening socket, runs the service of the release
//! that `<root>/current` names, and answers for the site while releases are swapped.
//!
//! A request goes through [`listen`](self) (one thread a core), is told by the *view* what to do
//! (open, hold, backoff, drain), and travels over a pooled connection to the service. Views are
//! replaced as a whole by the supervisor, which starts, watches and stops services on a thread of
//! its own, on the word of an installer ([`Session`]) or, where none is there, by itself.

mod access_log;
mod activation;
mod answer;
mod assets;
mod body;
mod control;
mod doors;
mod errand;
mod guard;
mod headers;
mod health;
mod history;
mod identity;
mod inbound;
mod joined;
mod launch;
mod lease;
mod listen;
mod log_files;
mod meter;
mod metrics;
mod minder;
mod not_started;
mod notify;
mod own_program;
mod pages;
mod pidfd;
mod pool;
mod process;
mod protocol;
mod proxy;
mod refusal;
mod reload;
mod request;
mod run;
mod service;
mod service_stream;
mod session;
mod slow;
mod steward;
mod stream;
mod succession;
mod supervisor;
mod tally;
mod tasks;
mod trial;
mod upstream;
mod view;
mod visit;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::version::Version;
use cutover_node::root::Root;

pub use errand::errand;
pub use identity::sweep;
pub use log_files::older as older_log;
pub use notify::names_a_process;
pub use own_program::myself;
pub use pages::PageError;
pub use protocol::{GateStatus, Maintenance, Running, State, SwapFigures};
pub use run::{Entrance, run};
pub use session::{ControlError, LAST_WORDS, Session};
pub use trial::{Trial, end_left_behind};

/// Why the gate does not run.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The node has no gate.
    #[error("{} has no [gate] section", .0.display())]
    NoGate(PathBuf),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// Where clients should reach it.
        address: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// The service manager handed over a socket that cannot be used.
    #[error("the socket from the service manager: {0}")]
    Activation(std::io::Error),
    /// The service manager's socket is not where the node is expected.
    #[error("the service manager listens on {handed}, and node.toml says {wanted}")]
    Elsewhere {
        /// Where its socket is.
        handed: SocketAddr,
        /// What `node.toml` says.
        wanted: SocketAddr,
    },
    /// Another gate runs for this root.
    #[error("a gate runs for {} already (process {pid})", root.display())]
    AlreadyRunning {
        /// The root.
        root: PathBuf,
        /// Its process, as far as is known.
        pid: String,
    },
    /// A page of the operator's cannot be used.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The gate that runs would not hand over.
    #[error(transparent)]
    Succession(ControlError),
    /// The service of the gate that runs does not answer this one.
    #[error("the running service of {0} does not answer; the gate that runs goes on with it")]
    CannotTakeOver(Version),
    /// The root's path is too long for a unix socket in it.
    #[error("{} is longer than the 107 bytes that a unix socket's path may have", .0.display())]
    PathTooLong(PathBuf),
    /// A part of the gate ended by a panic.
    #[error("{0} failed; the service goes on, and the next gate goes on with it")]
    PartFailed(&'static str),
    /// A file or a thread could not be had.
    #[error("{what}: {why}")]
    Io {
        /// What was tried, and on what.
        what: String,
        /// What the system says.
        why: std::io::Error,
    },
}

impl GateError {
    fn at(path: &Path, why: std::io::Error) -> Self {
        Self::Io { what: path.display().to_string(), why }
    }
}

/// Refuses a root in which a gate cannot have its control socket.
pub fn check_path(root: &Root) -> Result<(), GateError> {
    let socket = root.control().with_extension("sock.new");
    match socket.as_os_str().len() {
        0..=launch::LONGEST_SOCKET => Ok(()),
        _ => Err(GateError::PathTooLong(root.control())),
    }
}

impl Explain for GateError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoGate(_)
            | Self::Listen { .. }
            | Self::Activation(_)
            | Self::Elsewhere { .. }
            | Self::Page(_)
            | Self::PathTooLong(_) => Exit::Usage,
            Self::AlreadyRunning { .. } => Exit::Busy,
            Self::Succession(error) => error.exit(),
            Self::CannotTakeOver(_) => Exit::CheckFailed,
            Self::PartFailed(_) => Exit::Unexpected,
            Self::Io { why, .. } => Exit::of_io(why),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoGate(_) => vec!["add `[gate]` with `listen = \"127.0.0.1:8080\"`".to_owned()],
            Self::Listen { why, .. } if why.kind() == std::io::ErrorKind::AddrInUse => {
                vec!["end what listens there, or give the gate another address".to_owned()]
            }
            Self::Elsewhere { .. } => {
                vec!["have `listen` and the socket unit's ListenStream= say the same".to_owned()]
            }
            Self::AlreadyRunning { .. } => vec![
                "it goes on; `install gate --replace` takes its place without losing a request"
                    .to_owned(),
            ],
            Self::Succession(error) => error.hints(),
            Self::PathTooLong(_) => vec!["use a root with a shorter path".to_owned()],
            Self::PartFailed(_) => {
                vec!["this is a fault of the gate's: its log says where; start it again".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}
