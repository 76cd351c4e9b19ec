//! The pool: the load balancer's view of this node.
//!
//! The `depool` stage takes the node out before anything that clients could feel, `repool` puts it
//! back. A failure or refusal to depool ends the install before the switch; what was depooled is
//! repooled whatever happens after, also by `install resume` after a crash, because the journal
//! tells that `depool` was begun. Both verbs must therefore be idempotent.

use std::fmt;

use cutover_formats::exit::{Exit, Explain};

/// A load balancer, or whatever sends traffic to this node.
pub trait Pool: fmt::Debug {
    /// What and where, in a few words, e.g. `HAProxy /run/haproxy.sock, app/node1`.
    fn describe(&self) -> String;

    /// Takes the node out, and returns when no request is under way any more. May be called again
    /// when it is out.
    fn depool(&self) -> Result<(), PoolError>;

    /// Puts the node back. May be called when it is in, or was never out.
    fn repool(&self) -> Result<(), PoolError>;
}

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
}

impl Explain for PoolError {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused { .. } => Exit::CheckFailed,
            Self::Failed { .. } => Exit::Unreachable,
        }
    }
}
