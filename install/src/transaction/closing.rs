//! The end of a transaction: what is put on record, and what is tidied up.
//!
//! Whatever counts has happened by then, so none of this fails. What cannot be done is told, stands in
//! the receipt, and is tried again: what cannot be removed by the next command that tidies up, what
//! cannot be put on record by the next one that changes the node, for which the journal stays.

use std::time::Instant;

use cutover_formats::digest::Digest;
use cutover_formats::stage::BuiltIn;
use jiff::Timestamp;

use super::UnderWay;
use crate::disk::DiskError;
use crate::gate::{ControlError, SwapFigures};
use crate::journal;
use crate::prune::{self, Tidied};
use crate::receipt::{Outcome, Receipt, StageTime};
use crate::standing::Standings;

impl UnderWay<'_> {
    /// The new release serves; this is put on record.
    pub(super) fn settle(&mut self) -> Receipt {
        let began = Instant::now();
        let settle = BuiltIn::Settle.name();
        if let Err(error) = self.recorder.journal.stage(&settle) {
            self.unrecorded(&error);
        }
        let figures = match self.gate.take().map(|mut gate| gate.finish()).transpose() {
            // A gate that went away serves what `current` names when it is back.
            Err(ControlError::Lost { .. }) => None,
            Err(error) => {
                self.warn(format!("what clients felt is not known: {error}"));
                None
            }
            Ok(figures) => figures,
        };
        let opening = self.opening.clone();
        let standings = self.remember(|standings| {
            standings.switched(&opening.to, opening.from.as_ref(), Timestamp::now());
        });
        if let Some(standings) = standings {
            let tidied = prune::prune(self.node, &standings);
            self.tell_of(tidied);
        }
        let (seconds, what) = (began.elapsed().as_secs_f64(), "on record".to_owned());
        self.recorder.times.push(StageTime { stage: settle, seconds, what });
        self.close(Outcome::Done, figures)
    }

    /// Changes what is remembered of releases, durably; what is remembered then, where it can be read.
    pub(super) fn remember(&mut self, change: impl FnOnce(&mut Standings)) -> Option<Standings> {
        let root = &self.node.root;
        let mut standings = match Standings::load(root) {
            Ok(standings) => standings,
            Err(error) if error.is_damage() => {
                let mut standings = Standings::default();
                change(&mut standings);
                if let Err(error) = standings.save(root) {
                    self.unrecorded(&error);
                }
                // Else what is kept to go back to would go now, because nothing is known of it.
                self.warn(format!(
                    "{error}: it is begun anew; no old release is removed this time"
                ));
                return None;
            }
            Err(error) => {
                self.unrecorded(&error);
                return None;
            }
        };
        change(&mut standings);
        if let Err(error) = standings.save(root) {
            self.unrecorded(&error);
        }
        Some(standings)
    }

    /// Tells what could not be removed.
    pub(super) fn tell_of(&mut self, tidied: Tidied) {
        for problem in tidied.problems {
            self.warn(format!("{problem}; the next command that tidies up tries it again"));
        }
    }

    /// Keeps the receipt and ends the journal.
    pub(super) fn close(&mut self, outcome: Outcome, figures: Option<SwapFigures>) -> Receipt {
        let root = &self.node.root;
        let receipt = self.receipt(outcome, figures);
        let receipt = receipt.keep(root).unwrap_or_else(|error| {
            self.unrecorded(&error);
            receipt
        });
        if self.recorded
            && let Err(error) = journal::clear(root)
        {
            self.warn(format!("{error}; the next command that changes the node tries it again"));
        }
        receipt
    }

    fn unrecorded(&mut self, error: &DiskError) {
        self.recorded = false;
        self.warn(format!(
            "{error}: what was done is not on record yet; the next command that changes the node \
             puts it there"
        ));
    }

    fn warn(&mut self, words: String) {
        self.output.warn(&words);
        self.recorder.warnings.push(words);
    }

    fn receipt(&self, outcome: Outcome, gate: Option<SwapFigures>) -> Receipt {
        let opening = self.opening.clone();
        Receipt {
            id: opening.id,
            operation: opening.operation,
            product: self.plan.product.clone(),
            from: opening.from,
            to: opening.to,
            began: opening.began,
            ended: Timestamp::now(),
            outcome,
            descriptor: self.release.map(|release| Digest::of(&release.bytes)),
            signed_by: self.release.and_then(|release| release.signed_by.clone()),
            fetched: self.brought.transferred(),
            stages: self.recorder.times.clone(),
            checks: self.recorder.checks.clone(),
            warnings: self.recorder.warnings.clone(),
            gate,
            resumed: self.resumed,
        }
    }
}
