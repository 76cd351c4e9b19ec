//! How etcd fails.

use std::io;
use std::path::PathBuf;

use cutover_formats::exit::{Exit, Explain};

/// etcd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// No member gave an answer.
    #[error("no member of etcd answers: {}", tried.join("; "))]
    Unreachable {
        /// What became of each.
        tried: Vec<String>,
    },
    /// It said no.
    #[error("{endpoint} refused `{method}`: {message}")]
    Refused {
        /// The member that was asked.
        endpoint: String,
        /// What it was asked for, e.g. `kv/txn`.
        method: String,
        /// gRPC's number for why, e.g. 7 where permission is denied.
        code: u32,
        /// What it said.
        message: String,
    },
    /// A password would go over a connection that can be listened to.
    #[error("the password of {user} would be sent to {endpoint} unencrypted")]
    PlainPassword {
        /// Whose.
        user: String,
        /// Where to.
        endpoint: String,
    },
    /// Certificates or keys that TLS cannot use.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The system did not provide something.
    #[error("cannot have {what}: {error}")]
    Setup {
        /// What.
        what: String,
        /// Why not.
        error: io::Error,
    },
}

/// gRPC's numbers, as far as they matter here.
pub(crate) mod code {
    pub(crate) const INVALID_ARGUMENT: u32 = 3;
    pub(crate) const NOT_FOUND: u32 = 5;
    pub(crate) const PERMISSION_DENIED: u32 = 7;
    pub(crate) const FAILED_PRECONDITION: u32 = 9;
    pub(crate) const OUT_OF_RANGE: u32 = 11;
    pub(crate) const UNAUTHENTICATED: u32 = 16;
}

impl Explain for EtcdError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused { code, .. } => match *code {
                code::NOT_FOUND => Exit::NotFound,
                code::INVALID_ARGUMENT | code::PERMISSION_DENIED | code::UNAUTHENTICATED => {
                    Exit::Usage
                }
                _ => Exit::Unexpected,
            },
            Self::PlainPassword { .. } | Self::Tls(_) => Exit::Usage,
            Self::File { error, .. } | Self::Setup { error, .. } => Exit::of_io(error),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused { code: code::PERMISSION_DENIED, .. } => {
                vec!["etcd's user needs read and write permission on the key".to_owned()]
            }
            Self::Refused { code: code::INVALID_ARGUMENT | code::UNAUTHENTICATED, .. } => {
                vec!["see `login` in `[etcd]` of node.toml".to_owned()]
            }
            Self::PlainPassword { .. } => {
                vec!["give `https` endpoints in `[etcd]` of node.toml".to_owned()]
            }
            Self::File { error, .. } => Exit::hints_of_io(error),
            _ => Vec::new(),
        }
    }
}
