//! What the planner has to know of the node: what runs and what is whole, its gate and its pool.

use cutover_formats::exit::{Exit, Explain};

use crate::disk::DiskError;
use crate::gate::{ControlError, GateError, Session, check_path};
use crate::node::{Node, NodeError};
use crate::plan::{GateSituation, Situation};
use crate::pool::{self, PoolError};

/// A part of the node that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum SituationError {
    /// The node itself.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The gate cannot have its socket below the root.
    #[error(transparent)]
    NoSocket(#[from] GateError),
    /// The gate answers, but not sensibly.
    #[error(transparent)]
    Gate(#[from] ControlError),
    /// The pool cannot be had.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl From<DiskError> for SituationError {
    fn from(error: DiskError) -> Self {
        Self::Node(error.into())
    }
}

impl Explain for SituationError {
    fn exit(&self) -> Exit {
        match self {
            Self::Node(error) => error.exit(),
            Self::NoSocket(error) => error.exit(),
            Self::Gate(error) => error.exit(),
            Self::Pool(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Node(error) => error.hints(),
            Self::Gate(error) => error.hints(),
            Self::Pool(error) => error.hints(),
            Self::NoSocket(error) => {
                let mut hints = error.hints();
                hints.push(
                    "nothing was changed; without a gate, remove [gate] from node.toml".to_owned(),
                );
                hints
            }
        }
    }
}

/// A conversation with the gate, if the node has one and it runs.
pub fn gate(node: &Node) -> Result<Option<Session>, SituationError> {
    match &node.settings.gate {
        None => Ok(None),
        Some(_) => {
            check_path(&node.root)?;
            Ok(Session::connect(&node.root)?)
        }
    }
}

/// All that the planner needs to know.
pub fn of(node: &Node) -> Result<Situation, SituationError> {
    let gate = of_gate(node, gate(node)?.as_mut())?;
    let pool = pool::open(node)?.map(|pool| pool.describe());
    Ok(Situation { current: node.current()?, sealed: node.sealed()?, gate, pool })
}

/// What the planner needs to know of the gate; `session` is the conversation with it, where one runs.
pub fn of_gate(
    node: &Node,
    session: Option<&mut Session>,
) -> Result<GateSituation, SituationError> {
    Ok(match (&node.settings.gate, session) {
        (None, _) => GateSituation::None,
        (Some(_), session) if node.is_beside() => GateSituation::Beside { runs: session.is_some() },
        (Some(_), None) => GateSituation::Down,
        (Some(_), Some(session)) => {
            GateSituation::Up { serving: session.status()?.running.map(|running| running.version) }
        }
    })
}
