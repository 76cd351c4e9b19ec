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
mod closing;
mod database;
mod failure;
mod meeting;
mod once;
mod recorder;
mod resume;

use std::rc::Rc;
use std::time::Instant;

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
use crate::gate::Session;
use crate::interrupt::{self, Interruptible};
use crate::journal::Journal;
use crate::node::Node;
use crate::plan::{Act, Opening, Operation, Placed, Plan, Situation, Step, Wishes};
use crate::pool::{self, Pool};
use crate::receipt::{self, Receipt, StageTime};
use crate::requires::Shortage;
use crate::resolve::Release;
use crate::stage::{Own, Scene};
use bring::Brought;
use cutover_node::plan::ConfigChange;
use failure::{Broken, Left, Was};
use recorder::Recorder;

/// Everything a transaction works with.
pub struct Transaction<'a> {
    /// The node; its lock is held.
    pub node: &'a Node,
    /// What to do.
    pub plan: Plan,
    /// What that was planned for. A gate that comes up or goes away before the change-over has the
    /// rest planned anew.
    pub situation: Situation,
    /// What the node and the installer want of a plan.
    pub wishes: &'a Wishes<'a>,
    /// The release, verified.
    pub release: &'a Release,
    /// Where its contents come from; a rollback needs none.
    pub mirrors: Option<&'a Mirrors<'a>>,
    /// Stages of the installer's own.
    pub own: &'a [Own],
    /// Who watches.
    pub output: &'a Output,
    /// How long resolving took.
    pub resolved: StageTime,
}

/// A transaction that came to its end.
#[derive(Debug)]
pub struct Ended {
    /// What was planned in the end.
    pub plan: Plan,
    /// What was done.
    pub receipt: Receipt,
}

/// A transaction under way.
struct UnderWay<'a> {
    node: &'a Node,
    plan: Rc<Plan>,
    /// What the plan was made for, and may be made for anew; `None` after a crash.
    planning: Option<meeting::Planning<'a>>,
    own: &'a [Own],
    output: &'a Output,
    /// `None` after a crash, when there is nothing more to bring.
    release: Option<&'a Release>,
    mirrors: Option<&'a Mirrors<'a>>,
    pool: Option<Box<dyn Pool>>,
    gate: Option<Session>,
    /// Whether `gate` has the lease: only then may it be told anything.
    leased: bool,
    recorder: Recorder<'a>,
    opening: Opening,
    /// Settled by `requires`.
    inputs: Option<Inputs>,
    brought: Brought,
    /// The steps that were begun, by their place in the plan.
    begun: Vec<usize>,
    reached: Reached,
    /// Whether all that there is to remember is on record; else the journal stays.
    recorded: bool,
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
pub fn run(transaction: Transaction<'_>, now: Timestamp) -> Result<Ended, Failed> {
    let Transaction { node, plan, situation, wishes, release, mirrors, own, output, resolved } =
        transaction;
    let opening = Opening {
        id: receipt::id(now, &plan.to),
        operation: plan.operation,
        from: plan.from.clone(),
        to: plan.to.clone(),
        began: now,
        config: None,
    };
    let unopened = |error: StageError| {
        Broken::at(&BuiltIn::Resolve.name())(error).leaves(Left::Unswitched(Was::of(&plan)))
    };
    let opening = Opening {
        config: renewal(node, &plan).map_err(|error| unopened(error.into()))?,
        ..opening
    };
    let pool = pool::open(node).map_err(|error| unopened(error.into()))?;
    let journal =
        Journal::open(&node.root, &opening, &plan).map_err(|error| unopened(error.into()))?;
    let mut under_way = UnderWay {
        node,
        plan: Rc::new(plan),
        planning: Some(meeting::Planning { situation, wishes }),
        own,
        output,
        release: Some(release),
        mirrors,
        pool,
        gate: None,
        leased: false,
        recorder: Recorder::new(journal, resolved, output),
        opening,
        inputs: None,
        brought: Brought::default(),
        begun: Vec::new(),
        reached: Reached::Nothing,
        recorded: true,
        interruptible: Interruptible::begin(),
        resumed: false,
        undoing: Undoing::Must,
    };
    match under_way.go() {
        Ok(()) => {
            let receipt = under_way.settle();
            Ok(Ended { plan: Rc::unwrap_or_clone(under_way.plan), receipt })
        }
        // The journal stays: what is missing is done by whoever comes next.
        Err(broken) if broken.is_only_depooled() => {
            Err(broken.leaves(Left::Depooled(under_way.opening.to)))
        }
        Err(broken) => {
            let left = under_way.go_back(&broken);
            Err(broken.leaves(left).short_of(under_way.shortage()))
        }
    }
}

/// Between which renderings an `apply` goes.
fn renewal(node: &Node, plan: &Plan) -> Result<Option<ConfigChange>, DiskError> {
    if plan.operation != Operation::Apply {
        return Ok(None);
    }
    let from = rendering::number(&node.root, &plan.to)?;
    Ok(Some(ConfigChange { from, to: rendering::after(from) }))
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
        let mut over = Vec::new();
        loop {
            self.meet_gate(&over).map_err(Broken::at(&BuiltIn::Resolve.name()))?;
            // The plan may be another one from here on.
            let plan = Rc::clone(&self.plan);
            let next = plan.steps.iter().enumerate().find(|(_, step)| !over.contains(&step.stage));
            let Some((index, step)) = next else { break };
            let interrupted = || Broken::at(&step.stage)(StageError::Interrupted);
            if interrupt::asked() {
                return Err(interrupted());
            }
            // Whatever failed then, failed of that.
            let done = self.step(index, step);
            done.map_err(|broken| if interrupt::asked() { interrupted() } else { broken })?;
            over.push(step.stage.clone());
        }
        self.see_served().map_err(Broken::at(&BuiltIn::Settle.name()))
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
        self.make_up_for(step).map_err(Broken::at(&step.stage))?;
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
}
