//! Doing what a plan says: journal first, act second, and back again where a stage fails.
//!
//! Nothing that runs is touched before the change-over begins, so an error up to there only
//! removes what was brought. The rename of `current` is the commit point, and that of the link to a
//! rendering where only the configuration of a release changes; an error after it renames it back and
//! returns the gate to what it served before. On the way back every stage that was
//! begun is taken back, the last first. What a crash cut off is ended by `resume`, from the plan that
//! the journal keeps.

mod act;
mod back;
pub(crate) mod bring;
mod database;
mod failure;
mod once;
mod recorder;
mod resume;

use std::time::Instant;

use cutover_formats::digest::Digest;
use cutover_formats::stage::BuiltIn;
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::Output;
use jiff::Timestamp;

pub use back::Undoing;
pub use bring::Seal;
pub(crate) use database::fits;
pub use failure::{Failed, StageError};
pub use recorder::report;
pub use resume::resume;

use crate::check;
use crate::configure::inputs::Inputs;
use crate::configure::rendering;
use crate::disk::DiskError;
use crate::gate::{ControlError, Session, SwapFigures};
use crate::interrupt::{self, Interruptible};
use crate::journal::{self, Journal, Opening, Renewal};
use crate::node::Node;
use crate::plan::{Act, Placed, Plan, Step};
use crate::pool::{self, Pool};
use crate::prune;
use crate::receipt::{self, Operation, Outcome, Receipt, StageTime};
use crate::requires::Shortage;
use crate::resolve::Release;
use crate::stage::{Own, Scene};
use crate::standing::Standings;
use bring::Brought;
use failure::{Broken, Left, Was};
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
    pub mirrors: Option<&'a Mirrors<'a>>,
    /// The gate, if it runs.
    pub gate: Option<Session>,
    /// Stages of the installer's own.
    pub own: &'a [Own],
    /// Who watches.
    pub output: &'a Output,
    /// How long resolving took.
    pub resolved: StageTime,
}

/// A transaction under way.
struct UnderWay<'a> {
    node: &'a Node,
    plan: &'a Plan,
    own: &'a [Own],
    output: &'a Output,
    /// `None` after a crash, when there is nothing more to bring.
    release: Option<&'a Release>,
    mirrors: Option<&'a Mirrors<'a>>,
    pool: Option<Box<dyn Pool>>,
    gate: Option<Session>,
    recorder: Recorder<'a>,
    opening: Opening,
    /// Settled by `requires`.
    inputs: Option<Inputs>,
    brought: Brought,
    /// The steps that were begun, by their place in the plan.
    begun: Vec<usize>,
    reached: Reached,
    /// Whether all that was begun is taken back.
    walked_back: bool,
    interruptible: Interruptible,
    resumed: bool,
    undoing: Undoing,
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
    let Transaction { node, plan, release, mirrors, gate, own, output, resolved } = transaction;
    let opening = Opening {
        id: receipt::id(now, &plan.to),
        operation: plan.operation,
        from: plan.from.clone(),
        to: plan.to.clone(),
        began: now,
        config: None,
    };
    let unopened = |error: StageError| {
        Broken::at(&BuiltIn::Resolve.name())(error).leaves(Left::Unswitched(Was::of(plan)))
    };
    let opening =
        Opening { config: renewal(node, plan).map_err(|error| unopened(error.into()))?, ..opening };
    let pool = pool::open(node).map_err(|error| unopened(error.into()))?;
    let journal =
        Journal::open(&node.root, &opening, plan).map_err(|error| unopened(error.into()))?;
    let mut under_way = UnderWay {
        node,
        plan,
        own,
        output,
        release: Some(release),
        mirrors,
        pool,
        gate,
        recorder: Recorder::new(journal, resolved, output),
        opening,
        inputs: None,
        brought: Brought::default(),
        begun: Vec::new(),
        reached: Reached::Nothing,
        walked_back: false,
        interruptible: Interruptible::begin(),
        resumed: false,
        undoing: Undoing::Must,
    };
    match under_way.go() {
        Ok(()) => under_way.settle().map_err(|error| {
            Broken::at(&BuiltIn::Settle.name())(error).leaves(Left::Unsettled(plan.to.clone()))
        }),
        // The journal stays: what is missing is done by whoever comes next.
        Err(broken) if broken.is_only_depooled() => {
            Err(broken.leaves(Left::Depooled(plan.to.clone())))
        }
        Err(broken) => {
            let left = under_way.go_back(&broken);
            Err(broken.leaves(left).short_of(under_way.shortage()))
        }
    }
}

/// Between which renderings an `apply` goes.
fn renewal(node: &Node, plan: &Plan) -> Result<Option<Renewal>, DiskError> {
    if plan.operation != Operation::Apply {
        return Ok(None);
    }
    let from = rendering::number(&node.root, &plan.to)?;
    Ok(Some(Renewal { from, to: rendering::after(from) }))
}

/// A step, as often as it may be tried.
pub(crate) fn attempts<T>(
    step: &Step,
    output: &Output,
    mut act: impl FnMut() -> Result<T, StageError>,
) -> Result<T, StageError> {
    let mut left = step.retries;
    loop {
        match act() {
            Err(error) if left > 0 && !interrupt::asked() => {
                let (stage, pause) = (&step.stage, step.pause);
                output.warn(format!("{stage}: {error}; trying again in {pause}"));
                interrupt::pause(pause.as_duration());
                if interrupt::asked() {
                    return Err(error);
                }
                left -= 1;
            }
            ended => return ended,
        }
    }
}

impl UnderWay<'_> {
    fn go(&mut self) -> Result<(), Broken> {
        self.take_gate().map_err(Broken::at(&BuiltIn::Resolve.name()))?;
        let plan = self.plan;
        plan.steps.iter().enumerate().try_for_each(|(index, step)| {
            let interrupted = || Broken::at(&step.stage)(StageError::Interrupted);
            if interrupt::asked() {
                return Err(interrupted());
            }
            // Whatever failed then, failed of that.
            let done = self.step(index, step);
            done.map_err(|broken| if interrupt::asked() { interrupted() } else { broken })
        })
    }

    /// One step: what must hold before it, the step itself, what must hold after it.
    fn step(&mut self, index: usize, step: &Step) -> Result<(), Broken> {
        self.checks(step, &step.before)?;
        match step.act {
            // What settles is not undone, so it comes when everything else is over.
            Act::BuiltIn(BuiltIn::Settle) => return Ok(()),
            Act::Skip => self.output.note(format!("{:<9} {}", step.stage.as_str(), step.what)),
            _ if step.once => self.once(index, step)?,
            _ => self.begin(index, step)?,
        }
        self.database_brought(step).map_err(Broken::at(&step.stage))?;
        self.checks(step, &step.after)
    }

    /// Announces the step and does it.
    fn begin(&mut self, index: usize, step: &Step) -> Result<(), Broken> {
        self.recorder.journal.stage(&step.stage).map_err(Broken::at(&step.stage))?;
        if !self.begun.contains(&index) {
            self.begun.push(index);
        }
        let began = Instant::now();
        let words = attempts(step, self.output, || self.act(step));
        let words = words.map_err(Broken::at(&step.stage))?;
        self.recorder.over(step, began.elapsed(), words);
        Ok(())
    }

    fn checks(&mut self, step: &Step, checks: &[Placed]) -> Result<(), Broken> {
        for placed in checks {
            if self.resumed && self.gate.is_none() && placed.check.probe.asks_release() {
                let probe = &placed.check.probe;
                self.output.warn(format!("the check `{probe}` is left out: no gate runs to ask"));
                continue;
            }
            check::check(placed, &mut self.scene()).map_err(Broken::at(&step.stage))?;
            self.recorder.checked(placed);
        }
        Ok(())
    }

    fn scene(&mut self) -> Scene<'_> {
        Scene {
            node: self.node,
            from: self.opening.from.as_ref(),
            to: &self.opening.to,
            id: &self.opening.id,
            output: self.output,
            gate: self.gate.as_mut(),
            alone: None,
        }
    }

    /// What the disk lacks for the release, where it is still to be brought.
    fn shortage(&self) -> Option<Shortage> {
        let release = self.release.filter(|_| self.plan.brings())?;
        Shortage::of(&self.node.root, &release.descriptor)
    }

    fn settle(&mut self) -> Result<Receipt, StageError> {
        let began = Instant::now();
        self.recorder.journal.stage(&BuiltIn::Settle.name())?;
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
        let (stage, seconds) = (BuiltIn::Settle.name(), began.elapsed().as_secs_f64());
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
            descriptor: self.release.map(|release| Digest::of(&release.bytes)),
            signed_by: self.release.and_then(|release| release.signed_by.clone()),
            fetched: self.brought.transferred(),
            stages: self.recorder.times.clone(),
            checks: self.recorder.checks.clone(),
            gate,
            resumed: self.resumed,
        }
    }
}
