//! Ending what a crash cut off, by what the journal says and `current` names.

use cutover_formats::name::StageName;
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
    leftovers::end(&trace.opening.id);
    let config = rendering::number(&node.root, &trace.opening.to)?;
    let links = journal::Links { current: node.current()?, config };
    let recovery = journal::recovery(trace, &links);
    let plan =
        trace.plan.clone().unwrap_or_else(|| Plan::unknown(&node.settings.product, &trace.opening));
    let place = |name: &StageName| plan.steps.iter().position(|step| step.stage == *name);
    let mut begun: Vec<usize> = trace.stages.iter().filter_map(place).collect();
    begun.sort_unstable();
    begun.dedup();
    let mut gate = node.gate()?;
    if let Some(gate) = &mut gate {
        gate.begin()?;
    }
    let mut under_way = UnderWay {
        node,
        plan: &plan,
        own,
        output,
        release: None,
        mirrors: None,
        pool: pool::open(node)?,
        gate,
        recorder: Recorder::after_crash(Journal::reopen(&node.root)?, output),
        opening: trace.opening.clone(),
        inputs: None,
        brought: Brought::default(),
        begun,
        reached: if trace.is_switched(&links) { Reached::Switch } else { Reached::Gate },
        walked_back: false,
        interruptible: Interruptible::begin(),
        resumed: true,
        undoing,
    };
    under_way.interruptible.bind();
    match recovery {
        Recovery::Forward => match under_way.finish() {
            Ok(()) => under_way.settle(),
            // Not the release's fault: it is tried again by the next `install resume`.
            Err(broken) if !broken.cause.decides() || broken.is_only_depooled() => {
                Err(*broken.cause)
            }
            Err(broken) => {
                let reason = under_way.reason(&broken);
                under_way.undo(&reason)
            }
        },
        Recovery::Undo => {
            let words = "the installer was cut off".to_owned();
            under_way.undo(&Reason { words, blames_release: false })
        }
    }
}

impl UnderWay<'_> {
    /// From the switch, which is done, to the end. The stage that was cut off is run again; the
    /// gate is told once to serve the new release, whatever it did of that already.
    fn finish(&mut self) -> Result<(), Broken> {
        self.serve().map_err(Broken::at(&BuiltIn::Health.name()))?;
        let first = self.begun.last().copied().unwrap_or(self.plan.steps.len());
        let plan = self.plan;
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
