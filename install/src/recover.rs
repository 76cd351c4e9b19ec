//! After a crash: the journal says what was under way, `current` says how far it came.

use cutover_formats::version::Version;
use cutover_terminal::Output;
use jiff::Timestamp;

use crate::gate::{ControlError, SwapFigures};
use crate::journal::{self, Recovery, Trace};
use crate::node::{Node, NodeError};
use crate::plan::Stage;
use crate::prune;
use crate::receipt::{Outcome, Receipt};
use crate::standing::Standings;
use crate::swap;

/// Ends a transaction that was left behind, if there is one: in the new release where the symlink
/// names it, else in the old. The node's lock is held. The receipt says which.
pub fn recover(node: &Node, output: &Output) -> Result<Option<Receipt>, NodeError> {
    let root = &node.root;
    let Some(trace) = journal::read(root)? else {
        // Litter of a crash before the first line was whole.
        if root.journal().exists() {
            journal::clear(root)?;
        }
        return Ok(None);
    };
    output.note(format!(
        "{} of {} was cut off at stage {}; ending it",
        trace.opening.operation,
        trace.opening.to,
        trace.stages.last().unwrap_or(&Stage::Resolve)
    ));
    let receipt = match journal::recovery(&trace, node.current()?.as_ref()) {
        Recovery::Forward => forward(node, &trace)?,
        Recovery::Undo => {
            let figures = settle_gate(node, trace.opening.from.as_ref())?;
            undone(node, &trace, figures)?
        }
    };
    let receipt = receipt.keep(root)?;
    journal::clear(root)?;
    Ok(Some(receipt))
}

fn forward(node: &Node, trace: &Trace) -> Result<Receipt, NodeError> {
    let opening = &trace.opening;
    let mut standings = Standings::load(&node.root)?;
    match settle_gate(node, Some(&opening.to)) {
        Ok(figures) => {
            standings.switched(&opening.to, opening.from.as_ref(), Timestamp::now());
            standings.save(&node.root)?;
            prune::prune(node, &standings)?;
            Ok(receipt(node, trace, Outcome::Done, figures))
        }
        Err(NodeError::Gate(error @ ControlError::Unhealthy { .. })) => {
            standings.failed(&opening.to, &error.to_string(), Timestamp::now());
            standings.save(&node.root)?;
            swap::point_current(&node.root, opening.from.as_ref())?;
            let figures = settle_gate(node, opening.from.as_ref())?;
            let reason = error.to_string();
            Ok(receipt(node, trace, Outcome::SwitchedBack { reason }, figures))
        }
        Err(error) => Err(error),
    }
}

fn undone(node: &Node, trace: &Trace, figures: Option<SwapFigures>) -> Result<Receipt, NodeError> {
    prune::remove_litter(node)?;
    let reason = "the installer was cut off".to_owned();
    Ok(receipt(node, trace, Outcome::Unchanged { reason }, figures))
}

/// Sees that the gate, if it runs, serves `version`.
fn settle_gate(node: &Node, version: Option<&Version>) -> Result<Option<SwapFigures>, NodeError> {
    let Some(mut gate) = node.gate()? else { return Ok(None) };
    gate.begin()?;
    // A release without a service leaves the gate as it is.
    let served = match version {
        Some(version) if node.descriptor(version)?.service.is_some() => Some(version),
        _ => None,
    };
    Ok(Some(swap::return_to(gate, served)?))
}

fn receipt(node: &Node, trace: &Trace, outcome: Outcome, gate: Option<SwapFigures>) -> Receipt {
    let opening = &trace.opening;
    Receipt {
        id: opening.id.clone(),
        operation: opening.operation,
        product: node.settings.product.clone(),
        from: opening.from.clone(),
        to: opening.to.clone(),
        began: opening.began,
        ended: Timestamp::now(),
        outcome,
        descriptor: None,
        signed_by: None,
        fetched: 0,
        stages: Vec::new(),
        gate,
        resumed: true,
    }
}
