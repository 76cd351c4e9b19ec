//! Steps that run on one node of the fleet.

use std::time::Duration;

use cutover_formats::stage::DEFAULT_TIMEOUT;

use super::UnderWay;
use super::act::Verb;
use super::failure::{Broken, StageError};
use crate::once::{self, Key, Turn, Worked};
use crate::plan::Step;

/// How much longer than a node may take for the stage it is waited for.
const MARGIN: Duration = Duration::from_secs(60);

impl UnderWay<'_> {
    /// Does the step if nobody has. One that fails is taken back before anybody else may try.
    pub(super) fn once(&mut self, index: usize, step: &Step) -> Result<(), Broken> {
        let failed = |error: StageError| Broken::at(&step.stage)(error);
        let once = once::open(self.node).map_err(|error| failed(error.into()))?;
        let mut tried = Ok(());
        let turn = once.perform(&self.key(step), patience(step), &mut || {
            tried = self.begin(index, step);
            if tried.is_ok() {
                return Worked::Well;
            }
            if let Err(error) = self.undo_once(step) {
                // It is tried again on the way back, which tells of it.
                tracing::warn!(%error, "cannot undo {}", step.stage);
            } else {
                self.begun.retain(|begun| *begun != index);
            }
            Worked::Badly
        });
        match turn.map_err(|error| failed(error.into()))? {
            Turn::Ours => tried,
            Turn::Done(record) => {
                let (stage, once::Record { node, done }) = (step.stage.as_str(), record);
                let to = &self.plan.to;
                self.output.note(format!(
                    "{stage:<9} was done by {node} at {done:.0} for {to}: not again"
                ));
                Ok(())
            }
        }
    }

    /// Takes such a step back, unless the fleet holds it for done.
    pub(super) fn take_back_once(&mut self, step: &Step) -> Result<(), StageError> {
        if step.undo.is_none() {
            return Ok(());
        }
        let once = once::open(self.node)?;
        let mut tried = Ok(());
        let turn = once.take_back(&self.key(step), patience(step), &mut || {
            tried = self.undo_once(step);
            if tried.is_ok() { Worked::Well } else { Worked::Badly }
        })?;
        if let Turn::Done(record) = turn {
            let (stage, node) = (step.stage.as_str(), record.node);
            self.output.note(format!("{stage:<9} stays: {node} did it for the fleet"));
        }
        tried
    }

    fn undo_once(&mut self, step: &Step) -> Result<(), StageError> {
        if step.undo.is_some() { self.drive(step, Verb::Undo) } else { Ok(()) }
    }

    fn key(&self, step: &Step) -> Key {
        Key {
            product: self.plan.product.clone(),
            version: self.plan.to.clone(),
            stage: step.stage.clone(),
        }
    }
}

fn patience(step: &Step) -> Duration {
    let once = step.timeout.unwrap_or(DEFAULT_TIMEOUT).as_duration() + step.pause.as_duration();
    once.saturating_mul(step.retries.saturating_add(1)).saturating_add(MARGIN)
}
