//! Doing what a plan says: journal first, act second, and back again where a stage fails.
//!
//! Nothing that runs is touched before the change-over begins, so an error up to there only
//! removes what was brought. The rename of `current` is the commit point; an error after it
//! renames it back and returns the gate to the release before.

mod bring;
mod failure;
mod recorder;

use std::time::Instant;

use cutover_formats::digest::Digest;
use cutover_repository::store::Read;
use cutover_terminal::Output;
use jiff::Timestamp;

pub use bring::Seal;
pub use failure::{Failed, StageError};
pub use recorder::report;

use crate::gate::{ControlError, Session, SwapFigures};
use crate::journal::{self, Journal, Opening};
use crate::node::{Node, NodeError};
use crate::plan::{Changeover, Plan, Stage};
use crate::prune;
use crate::receipt::{self, Outcome, Receipt, StageTime};
use crate::requires;
use crate::resolve::Release;
use crate::standing::Standings;
use crate::swap;
use failure::{Broken, Left};
use recorder::Recorder;

/// Everything a transaction works with.
pub struct Transaction<'a> {
    /// The node; its lock is held.
    pub node: &'a Node,
    /// What to do.
    pub plan: &'a Plan,
    /// The release, verified.
    pub release: &'a Release,
    /// Where its contents come from; a rollback needs none.
    pub store: Option<&'a dyn Read>,
    /// The gate, if it runs.
    pub gate: Option<Session>,
    /// Who watches.
    pub output: &'a Output,
    /// How long resolving took.
    pub resolved: StageTime,
}

/// A transaction under way.
struct UnderWay<'a> {
    node: &'a Node,
    plan: &'a Plan,
    release: &'a Release,
    gate: Option<Session>,
    recorder: Recorder<'a>,
    opening: Opening,
    fetched: u64,
    reached: Reached,
}

/// How far it came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// Nothing that runs was touched.
    Nothing,
    /// The gate was told to do something.
    Gate,
    /// The symlink was renamed.
    Switch,
}

/// Goes through the plan. On success the receipt; on failure the node is where [`Failed`] says,
/// and a receipt of that is kept as well.
pub fn run(transaction: Transaction<'_>, now: Timestamp) -> Result<Receipt, Failed> {
    let Transaction { node, plan, release, store, gate, output, resolved } = transaction;
    let opening = Opening {
        id: receipt::id(now, &plan.to),
        operation: plan.operation,
        from: plan.from.clone(),
        to: plan.to.clone(),
        began: now,
    };
    let journal = Journal::open(&node.root, &opening).map_err(|error| {
        Broken::at(Stage::Resolve)(error).leaves(Left::Unswitched(plan.from.clone()))
    })?;
    let recorder = Recorder::new(journal, resolved, plan, output);
    let reached = Reached::Nothing;
    let mut under_way =
        UnderWay { node, plan, release, gate, recorder, opening, fetched: 0, reached };
    match under_way.go(store) {
        Ok(()) => under_way.settle().map_err(|error| {
            Broken::at(Stage::Settle)(error).leaves(Left::Unsettled(plan.to.clone()))
        }),
        Err(broken) => {
            let left = under_way.go_back(&broken);
            Err(broken.leaves(left))
        }
    }
}

impl UnderWay<'_> {
    fn go(&mut self, store: Option<&dyn Read>) -> Result<(), Broken> {
        self.take_gate().map_err(Broken::at(Stage::Resolve))?;
        let (root, release) = (&self.node.root, &self.release.descriptor);
        let plan = self.plan;
        self.recorder.stage(Stage::Requires, || {
            requires::check_things(root, release)?;
            if plan.brings() {
                requires::check_space(root, release)?;
            }
            Ok(((), None))
        })?;
        if plan.brings() {
            let store = store.ok_or_else(|| NodeError::NotHere(plan.to.clone()));
            let store = store.map_err(Broken::at(Stage::Fetch))?;
            self.fetched = bring::bring(&mut self.recorder, root, self.release, store)?;
        }
        plan.changes().try_for_each(|stage| self.change(stage))
    }

    /// The lease; and before a swap that clients will feel, good answers say how long it usually
    /// takes, so that load falls before it begins.
    fn take_gate(&mut self) -> Result<(), StageError> {
        let Some(gate) = &mut self.gate else { return Ok(()) };
        gate.begin()?;
        if let Changeover::Hold | Changeover::Backoff = self.plan.changeover {
            gate.announce(receipt::usual_dark(&self.node.root)?.unwrap_or(1))?;
        }
        Ok(())
    }

    /// One stage of the change-over.
    fn change(&mut self, stage: Stage) -> Result<(), Broken> {
        let (root, plan) = (&self.node.root, self.plan);
        let (gate, reached) = (&mut self.gate, &mut self.reached);
        self.recorder.stage(stage, || {
            if stage == Stage::Switch {
                // Set first: if only the rename's sync fails, the link names the new release.
                *reached = Reached::Switch;
                swap::point_current(root, Some(&plan.to))?;
            }
            if let Some(gate) = gate {
                *reached = (*reached).max(Reached::Gate);
                tell(gate, stage, plan)?;
            }
            Ok(((), None))
        })
    }

    fn settle(&mut self) -> Result<Receipt, StageError> {
        let began = Instant::now();
        self.recorder.journal.stage(Stage::Settle)?;
        let figures = match self.gate.take().map(|mut gate| gate.finish()).transpose() {
            // A gate that went away serves what `current` names when it is back.
            Err(ControlError::Lost { .. }) => None,
            figures => figures?,
        };
        let (node, opening) = (self.node, &self.opening);
        let mut standings = Standings::load(&node.root)?;
        standings.switched(&opening.to, opening.from.as_ref(), Timestamp::now());
        standings.save(&node.root)?;
        prune::prune(node, &standings)?;
        let what = "on record".to_owned();
        let (stage, seconds) = (Stage::Settle, began.elapsed().as_secs_f64());
        self.recorder.times.push(StageTime { stage, seconds, what });
        let receipt = self.receipt(Outcome::Done, figures).keep(&node.root)?;
        journal::clear(&node.root)?;
        Ok(receipt)
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
            descriptor: Some(Digest::of(&self.release.bytes)),
            signed_by: self.release.signed_by.clone(),
            fetched: self.fetched,
            stages: self.recorder.times.clone(),
            gate,
            resumed: false,
        }
    }

    /// Undoes what was done, and says where that left the node.
    fn go_back(&mut self, broken: &Broken) -> Left {
        let before = self.opening.from.clone();
        match (self.undo(broken), self.reached) {
            (Err(error), _) => Left::Stranded(Box::new(error)),
            (Ok(()), Reached::Nothing | Reached::Gate) => Left::Unswitched(before),
            (Ok(()), Reached::Switch) => Left::WentBack(before),
        }
    }

    fn undo(&mut self, broken: &Broken) -> Result<(), StageError> {
        let node = self.node;
        self.recorder.journal.back()?;
        if self.reached == Reached::Switch {
            swap::point_current(&node.root, self.opening.from.as_ref())?;
        }
        let figures = self.return_gate()?;
        let reason = format!("{}: {}", broken.stage, broken.cause);
        if broken.cause.blames_release() {
            let mut standings = Standings::load(&node.root)?;
            standings.failed(&self.opening.to, &reason, Timestamp::now());
            standings.save(&node.root)?;
        }
        prune::remove_litter(node)?;
        let outcome = match self.reached {
            Reached::Switch => Outcome::SwitchedBack { reason },
            Reached::Nothing | Reached::Gate => Outcome::Unchanged { reason },
        };
        self.receipt(outcome, figures).keep(&node.root)?;
        journal::clear(&node.root)?;
        Ok(())
    }

    /// The gate as it was.
    fn return_gate(&mut self) -> Result<Option<SwapFigures>, StageError> {
        let before = self.opening.from.clone();
        let Some(mut session) = self.gate.take() else { return Ok(None) };
        if self.reached == Reached::Nothing {
            // It may be that not even the lease was had.
            return Ok(session.finish().ok());
        }
        match swap::return_to(session, before.as_ref()) {
            // The gate itself went away; if it is back, or only the conversation broke, once more.
            Err(ControlError::Lost { .. }) => {
                let Some(mut session) = self.node.gate()? else { return Ok(None) };
                session.begin()?;
                Ok(Some(swap::return_to(session, before.as_ref())?))
            }
            figures => Ok(Some(figures?)),
        }
    }
}

/// What the gate does in a stage.
fn tell(gate: &mut Session, stage: Stage, plan: &Plan) -> Result<(), ControlError> {
    match stage {
        Stage::Hold => gate.hold(),
        Stage::Backoff => gate.backoff(),
        Stage::Stop => gate.stop_running().map(drop),
        Stage::Start => gate.start(&plan.to),
        Stage::Health => gate.wait_healthy().map(drop),
        Stage::Switch if plan.changeover == Changeover::BlueGreen => {
            gate.promote()?;
            gate.open()
        }
        Stage::Open => {
            gate.promote()?;
            gate.open()
        }
        Stage::Drain => gate.retire().map(drop),
        _ => Ok(()),
    }
}
