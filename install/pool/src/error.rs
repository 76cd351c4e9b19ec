//! How a pool fails.

use std::time::Duration;

use cutover_etcd::EtcdError;
use cutover_formats::exit::{Exit, Explain};
use cutover_node::disk::DiskError;

/// The pool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It said no.
    #[error("{pool} refused: {why}")]
    Refused {
        /// Which one, as it describes itself.
        pool: String,
        /// What it said.
        why: String,
    },
    /// It cannot be reached, or answers nonsense.
    #[error("{pool}: {why}")]
    Failed {
        /// Which one, as it describes itself.
        pool: String,
        /// What happened.
        why: String,
    },
    /// It does not know this node by the name that `[pool]` gives.
    #[error("{pool} does not know {name}: {why}")]
    Unknown {
        /// Which one.
        pool: String,
        /// The name.
        name: String,
        /// What it said.
        why: String,
    },
    /// Requests are still under way.
    #[error("{pool}: {count} requests are still under way after {within:?}")]
    Lingering {
        /// Which one, and the place in it.
        pool: String,
        /// How many.
        count: u64,
        /// How long they were waited for.
        within: Duration,
    },
    /// The node is back, but the pool's own checks do not find it up.
    #[error("{pool} says {stands} and not UP, {within:?} after it was told that the node is ready")]
    NotUp {
        /// Which one, and the place in it.
        pool: String,
        /// What it says instead.
        stands: String,
        /// How long that was waited for.
        within: Duration,
    },
    /// The node itself is not ready for traffic.
    #[error("the gate at {gate} is not ready for traffic: {why}")]
    NotReady {
        /// Where it was asked.
        gate: String,
        /// What it answered.
        why: String,
    },
    /// A command failed, or took too long.
    #[error("`{command}` {how}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        how: String,
        /// The end of what it printed.
        tail: Vec<String>,
    },
    /// `[pool]` names etcd, but nothing says where that is.
    #[error("`[pool]` has the driver etcd, but node.toml has no `[etcd]`")]
    NoEtcd,
    /// etcd.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// What is remembered of the pool cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for PoolError {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused { .. }
            | Self::Lingering { .. }
            | Self::NotUp { .. }
            | Self::NotReady { .. }
            | Self::Command { .. } => Exit::CheckFailed,
            Self::Failed { .. } => Exit::Unreachable,
            Self::Unknown { .. } | Self::NoEtcd => Exit::Usage,
            Self::Etcd(error) => error.exit(),
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused { why, .. } if why.contains("ermission denied") => {
                vec!["the runtime socket must be of `level admin`".to_owned()]
            }
            Self::Unknown { .. } => vec!["see `[pool]` in node.toml".to_owned()],
            Self::Lingering { .. } => vec![
                "give them longer with `drain-within` in `[pool]`, or go on without waiting for \
                 them with `lingering = \"leave\"`"
                    .to_owned(),
            ],
            Self::NotReady { .. } | Self::NotUp { .. } => {
                vec!["`install resume` puts the node back once it is well".to_owned()]
            }
            Self::Command { tail, .. } => tail.iter().map(|line| format!("| {line}")).collect(),
            Self::NoEtcd => vec!["add `[etcd]` with `endpoints = [\"https://…:2379\"]`".to_owned()],
            Self::Etcd(error) => error.hints(),
            Self::Disk(error) => error.hints(),
            Self::Refused { .. } | Self::Failed { .. } => Vec::new(),
        }
    }
}
