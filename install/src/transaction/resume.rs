//! Ending what a crash cut off, by what the journal says and `current` names.

use std::rc::Rc;

use cutover_formats::stage::BuiltIn;
use cutover_terminal::Output;

use super::back::Reason;
use super::bring::Brought;
use super::failure::{Broken, StageError};
use super::recorder::Recorder;
use super::{Reached, UnderWay, Undoing};
use crate::configure::rendering;
use crate::interrupt::Interruptible;
use crate::journal::{self, Journal, Recovery, Trace};
use crate::leftovers;
use crate::node::Node;
use crate::plan::{Act, Plan};
use crate::pool;
use crate::receipt::Receipt;
use crate::situation;
use crate::stage::Own;
use crate::swap::{self, Served};

/// Ends the transaction of `trace`: in the new where the symlink names it and the rest of the plan
/// can be done, else in the old. The node's lock is held.
pub fn resume(
    node: &Node,
    trace: &Trace,
    own: &[Own],
    undoing: Undoing,
    output: &Output,
) -> Result<Receipt, StageError> {
    // What the killed installer left running would act beside its own undoing.
    leftovers::end(&trace.opening.id, &finished(trace));
    pool::end_left_behind(node)?;
    let config = rendering::number(&node.root, &trace.opening.to)?;
    let links = journal::Links { current: node.current()?, config };
    let recovery = journal::recovery(trace, &links);
    let plan =
        trace.plan.clone().unwrap_or_else(|| Plan::unknown(&node.settings.product, &trace.opening));
    let begun = begun(trace, &plan);
    let mut gate = situation::gate(node)?;
    if let Some(gate) = &mut gate {
        gate.begin()?;
    }
    let mut under_way = UnderWay {
        node,
        plan: Rc::new(plan),
        planning: None,
        own,
        output,
        release: None,
        mirrors: None,
        pool: pool::open(node)?,
        leased: gate.is_some(),
        gate,
        recorder: Recorder::after_crash(Journal::reopen(&node.root)?, output),
        opening: trace.opening.clone(),
        inputs: None,
        brought: Brought::default(),
        begun,
        reached: if trace.is_switched(&links) { Reached::Switch } else { Reached::Gate },
        recorded: true,
        interruptible: Interruptible::begin(),
        resumed: true,
        undoing,
    };
    under_way.interruptible.bind();
    match recovery {
        Recovery::Forward => under_way.forward(),
        Recovery::Undo => {
            let words = "the installer was cut off".to_owned();
            under_way.undo(&Reason { words, blames_release: false, keeps_contents: true })
        }
    }
}

/// The parts of the transaction that came to their end: what these started runs on purpose. On the way
/// back it is not known which are over, so all of them are done again.
fn finished(trace: &Trace) -> Vec<String> {
    let last = trace.stages.last();
    let before = trace.stages.iter().filter(|stage| Some(*stage) != last);
    before.map(leftovers::stage).collect()
}

/// The steps that were begun, by their place in the plan.
fn begun(trace: &Trace, plan: &Plan) -> Vec<usize> {
    let steps = plan.steps.iter().enumerate();
    let begun = steps.filter(|(_, step)| trace.stages.contains(&step.stage));
    begun.map(|(index, _)| index).collect()
}

impl UnderWay<'_> {
    /// To the end, or back where that does not work because of the release.
    fn forward(&mut self) -> Result<Receipt, StageError> {
        match self.finish() {
            Ok(()) => Ok(self.settle()),
            // Not the release's fault: it is tried again by the next `install resume`.
            Err(broken) if !broken.cause.decides() || broken.is_only_depooled() => {
                Err(*broken.cause)
            }
            Err(broken) => {
                let reason = self.reason(&broken);
                self.undo(&reason)
            }
        }
    }

    /// From the switch, which is done, to the end. The stage that was cut off is run again; the
    /// gate is told once to serve the new release, whatever it did of that already.
    fn finish(&mut self) -> Result<(), Broken> {
        self.serve().map_err(Broken::at(&BuiltIn::Health.name()))?;
        let first = self.begun.last().copied().unwrap_or(self.plan.steps.len());
        let plan = Rc::clone(&self.plan);
        for (index, step) in plan.steps.iter().enumerate().skip(first) {
            match step.act {
                Act::BuiltIn(BuiltIn::Settle) => self.checks(step, &step.before)?,
                Act::BuiltIn(stage) if stage != BuiltIn::Depool && stage != BuiltIn::Repool => {
                    self.checks(step, &step.after)?;
                }
                _ => self.step(index, step)?,
            }
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<(), StageError> {
        let config = self.opening.config.map(|renewal| renewal.to);
        let Some(version) = self.node.served(Some(&self.opening.to))? else { return Ok(()) };
        let served = Served { version, config };
        if let Some(gate) = &mut self.gate {
            swap::ensure_served(gate, &served)?;
        }
        Ok(())
    }
}
