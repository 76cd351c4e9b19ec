//! The way back: every stage that was begun, the last first.

use std::rc::Rc;

use cutover_formats::name::StageName;
use cutover_formats::stage::{BuiltIn, Stages};
use jiff::Timestamp;

use super::act::Verb;
use super::failure::{Blame, Broken, Left, StageError, Was};
use super::meeting::find;
use super::{Reached, UnderWay};
use crate::configure::rendering;
use crate::gate::{ControlError, SwapFigures};
use crate::integrity;
use crate::plan::{Act, Origin, Step};
use crate::prune::{self, Kept};
use crate::receipt::{Outcome, Receipt};
use crate::swap::{self, Served};

/// What becomes of a transaction whose stages cannot all be undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undoing {
    /// It stays in the journal until they are.
    #[default]
    Must,
    /// It ends. A node that is out of its pool goes on having to be put back.
    May,
}

/// Why it goes back.
pub(super) struct Reason {
    pub(super) words: String,
    /// Whether the release is remembered as bad.
    pub(super) blames_release: bool,
    /// Whether what was brought of its contents stays, for the next try.
    pub(super) keeps_contents: bool,
}

impl UnderWay<'_> {
    /// Undoes what was done, and says where that left the node.
    pub(super) fn go_back(&mut self, broken: &Broken) -> Left {
        let before = Was::of(&self.plan);
        match (self.undo(&self.reason(broken)), self.reached) {
            (Err(error), _) => Left::Stranded(Box::new(error)),
            (Ok(_), Reached::Nothing | Reached::Gate) => Left::Unswitched(before),
            (Ok(_), Reached::Switch) => Left::WentBack(before),
        }
    }

    /// What is remembered of a failure.
    pub(super) fn reason(&self, broken: &Broken) -> Reason {
        let mut begun = self.begun.iter().map(|index| &self.plan.steps[*index]);
        let started = begun.any(|step| step.stage == BuiltIn::Start.name());
        let blame = broken.cause.blame(self.owner(&broken.stage));
        let interrupted = matches!(*broken.cause, StageError::Interrupted);
        if started && blame != Blame::Release && !interrupted {
            let to = &self.opening.to;
            self.output.note(format!("{to} is not remembered as bad: the {blame} is to blame"));
        }
        Reason {
            words: format!("{}: {}", broken.stage, broken.cause),
            // One that ran well does so no less where it does not with another configuration.
            blames_release: self.opening.config.is_none()
                && blame == Blame::Release
                && (started || broken.cause.is_unfit()),
            keeps_contents: !broken.cause.spoils_contents(),
        }
    }

    /// Who brought the command that stands at a stage.
    fn owner(&self, stage: &StageName) -> Origin {
        let step = self.plan.steps.iter().find(|step| step.stage == *stage);
        match step.map(|step| &step.act) {
            Some(Act::Run(run)) => {
                let is_it = |stages: &Stages| {
                    stages.get(stage).is_some_and(|entry| entry.run.as_ref() == Some(run))
                };
                let of_release = match self.release {
                    Some(release) => is_it(&release.descriptor.stages),
                    None => {
                        let descriptor = self.node.descriptor(&self.opening.to);
                        descriptor.is_ok_and(|descriptor| is_it(&descriptor.stages))
                    }
                };
                if of_release { Origin::Release } else { Origin::Node }
            }
            Some(Act::Program) => Origin::Program,
            _ => Origin::BuiltIn,
        }
    }

    /// Goes back and puts on record why.
    pub(super) fn undo(&mut self, reason: &Reason) -> Result<Receipt, StageError> {
        self.interruptible.bind();
        self.recorder.journal.back();
        let figures = self.walk_back()?;
        if let (Some(from), Reached::Gate | Reached::Switch) = (&self.opening.from, self.reached) {
            integrity::warn_of(self.node, from, self.output);
        }
        if reason.blames_release {
            let to = self.opening.to.clone();
            self.remember(|standings| standings.failed(&to, &reason.words, Timestamp::now()));
            self.output.note(format!(
                "{to} is remembered as bad on this node: channels and requirements pass it over, \
                 `install {to}` tries it again"
            ));
        }
        if self.begun.iter().any(|index| matches!(self.plan.steps[*index].act, Act::Run(_))) {
            self.warn_of_database();
        }
        let kept = if reason.keeps_contents { Kept::Contents } else { Kept::Nothing };
        let tidied = prune::remove_litter(self.node, &self.opening.to, kept);
        self.tell_of(tidied);
        let reason = reason.words.clone();
        let outcome = match self.reached {
            Reached::Switch => Outcome::SwitchedBack { reason },
            Reached::Nothing | Reached::Gate => Outcome::Unchanged { reason },
        };
        Ok(self.close(outcome, figures))
    }

    /// Takes back what was begun, the last first. The symlink goes back at its own place; the gate
    /// where its first change was, when everything that came after it is taken back.
    ///
    /// A command that cannot be undone does not keep the rest from it. But where the gate does not
    /// come back, what stands before it stays: a node that serves nothing stays out of its pool
    /// until `install resume` has brought it back.
    fn walk_back(&mut self) -> Result<Option<SwapFigures>, StageError> {
        let (plan, begun) = (Rc::clone(&self.plan), self.begun.clone());
        let gate_at = begun.iter().position(|index| changes_gate(&plan.steps[*index]));
        let mut trouble = None;
        let mut figures = None;
        for (at, index) in begun.iter().enumerate().rev() {
            let step = &plan.steps[*index];
            if step.act == Act::BuiltIn(BuiltIn::Switch) {
                self.point_back()?;
            }
            if let Err(cause) = self.take_back(step) {
                let undone =
                    StageError::Undone { stage: step.stage.clone(), cause: Box::new(cause) };
                self.output.warn(undone.to_string());
                let pool = matches!(step.act, Act::BuiltIn(_));
                if pool || self.undoing == Undoing::Must {
                    trouble.get_or_insert(undone);
                }
            }
            if gate_at == Some(at) {
                figures = self.return_gate()?;
            }
        }
        if gate_at.is_none() {
            self.point_back()?;
            figures = self.return_gate()?;
        }
        trouble.map_or(Ok(figures), Err)
    }

    fn point_back(&self) -> Result<(), StageError> {
        if self.reached == Reached::Switch {
            let (root, opening) = (&self.node.root, &self.opening);
            match opening.config {
                Some(renewal) => rendering::point(root, &opening.to, renewal.from)?,
                None => swap::point_current(root, opening.from.as_ref())?,
            }
        }
        Ok(())
    }

    fn take_back(&mut self, step: &Step) -> Result<(), StageError> {
        match &step.act {
            Act::BuiltIn(BuiltIn::Depool | BuiltIn::Repool) | Act::Program => {
                self.drive(step, Verb::Undo)
            }
            Act::Run(_) if step.once => self.take_back_once(step),
            Act::Run(_) if step.undo.is_some() => {
                self.output.note(format!("{:<9} undo", step.stage));
                self.drive(step, Verb::Undo)
            }
            Act::Run(_) | Act::BuiltIn(_) | Act::Skip => Ok(()),
        }
    }

    /// The gate as it was.
    fn return_gate(&mut self) -> Result<Option<SwapFigures>, StageError> {
        let config = self.opening.config.and_then(|renewal| renewal.from);
        let served = self.node.served(self.opening.from.as_ref())?;
        let served = served.map(|version| Served { version, config });
        let session = match self.gate.take() {
            // It may be that not even the lease was had.
            Some(mut session) if self.reached == Reached::Nothing => {
                return Ok(session.finish().ok());
            }
            Some(session) => session,
            // One that came up meanwhile may have read the name that is taken back.
            None if self.reached == Reached::Switch => {
                let Some(mut session) = find(self.node)? else { return Ok(None) };
                session.begin()?;
                session
            }
            None => return Ok(None),
        };
        match swap::return_to(session, served.as_ref()) {
            // The gate itself went away; if it is back, or only the conversation broke, once more.
            Err(ControlError::Lost { .. }) => {
                let Some(mut session) = find(self.node)? else { return Ok(None) };
                session.begin()?;
                Ok(Some(swap::return_to(session, served.as_ref())?))
            }
            figures => Ok(Some(figures?)),
        }
    }
}

/// Whether a step tells the gate anything.
fn changes_gate(step: &Step) -> bool {
    use BuiltIn::{Backoff, Drain, Health, Hold, Open, Start, Stop, Switch};
    let changing = [Hold, Backoff, Stop, Start, Health, Switch, Open, Drain];
    matches!(step.act, Act::BuiltIn(stage) if changing.contains(&stage))
}
