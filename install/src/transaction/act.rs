//! What each step does: Cutover's own stages here, all others through the [`Stage`] trait.

use cutover_formats::stage::BuiltIn;

use super::failure::StageError;
use super::{Reached, UnderWay, bring, database};
use crate::configure::{self, rendering};
use crate::fetch;
use crate::gate::{ControlError, Session};
use crate::node::NodeError;
use crate::plan::{Act, Changeover, Plan, Step};
use crate::pool::Pool;
use crate::requires;
use crate::stage::{Command, Depool, Own, Repool, Stage};
use crate::swap;

/// Forward or back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Run,
    Undo,
}

impl UnderWay<'_> {
    /// Does a step; what came of it in words, where the plan could not know.
    pub(super) fn act(&mut self, step: &Step) -> Result<Option<String>, StageError> {
        match step.act {
            Act::BuiltIn(stage) => self.built_in(stage, step),
            Act::Run(_) | Act::Program => self.drive(step, Verb::Run).map(|()| None),
            Act::Skip => Ok(None),
        }
    }

    fn built_in(&mut self, stage: BuiltIn, step: &Step) -> Result<Option<String>, StageError> {
        match stage {
            BuiltIn::Requires => self.requires().map(|()| None),
            BuiltIn::Configure if !self.plan.brings() => self.render_anew(),
            BuiltIn::Fetch
            | BuiltIn::Verify
            | BuiltIn::Unpack
            | BuiltIn::Build
            | BuiltIn::Configure
            | BuiltIn::Seal => self.bring(stage, step),
            BuiltIn::Depool | BuiltIn::Repool => self.drive(step, Verb::Run).map(|()| None),
            BuiltIn::Hold
            | BuiltIn::Backoff
            | BuiltIn::Stop
            | BuiltIn::Start
            | BuiltIn::Health
            | BuiltIn::Switch
            | BuiltIn::Open
            | BuiltIn::Drain => self.change(stage).map(|()| None),
            BuiltIn::Resolve | BuiltIn::Settle => Ok(None),
        }
    }

    fn requires(&mut self) -> Result<(), StageError> {
        let Some(release) = self.release else { return Ok(()) };
        let inputs = requires::check_things(self.node, &release.descriptor)?;
        inputs.warnings().iter().for_each(|warning| self.output.warn(warning));
        self.inputs = Some(inputs);
        if self.plan.brings() {
            requires::check_space(&self.node.root, &release.descriptor)?;
        }
        let mirrors = self.mirrors;
        database::fits(&release.descriptor, mirrors, &mut self.scene())
    }

    fn bring(&mut self, stage: BuiltIn, step: &Step) -> Result<Option<String>, StageError> {
        let (Some(release), Some(mirrors)) = (self.release, self.mirrors) else {
            return Err(NodeError::NotHere(self.plan.to.clone()).into());
        };
        let inputs = self.inputs.as_ref();
        let (node, id) = (self.node, &self.opening.id);
        let bring = bring::Bring { node, root: &node.root, id, release, mirrors, inputs };
        bring.act(stage, step, &mut self.brought)
    }

    /// For a release that is here already, with the values that the node gives now.
    fn render_anew(&mut self) -> Result<Option<String>, StageError> {
        let Some(release) = self.release else { return Ok(None) };
        let (root, descriptor) = (&self.node.root, &release.descriptor);
        let inputs = self.inputs.as_ref().ok_or(StageError::Disordered(BuiltIn::Requires))?;
        let list = fetch::recorded_file_list(root, descriptor)?;
        let words = match self.opening.config {
            Some(renewal) => configure::render_beside(root, descriptor, &list, inputs, renewal.to)?,
            None => configure::render_for(root, descriptor, &list, inputs)?,
        };
        Ok(Some(words))
    }

    /// A load balancer may have forgotten meanwhile that the node is out.
    fn stay_out(&self) -> Result<(), StageError> {
        let mut begun = self.begun.iter().map(|index| &self.plan.steps[*index].act);
        match &self.pool {
            Some(pool) if begun.any(|act| *act == Act::BuiltIn(BuiltIn::Depool)) => {
                Ok(pool.depool()?)
            }
            _ => Ok(()),
        }
    }

    /// A stage of the change-over.
    fn change(&mut self, stage: BuiltIn) -> Result<(), StageError> {
        if let BuiltIn::Stop | BuiltIn::Switch = stage {
            self.stay_out()?;
        }
        if stage == BuiltIn::Switch {
            self.interruptible.bind();
            // Set first: if only the rename's sync fails, the link names the new release.
            self.reached = Reached::Switch;
            self.point_forward()?;
        }
        if let Some(gate) = &mut self.gate {
            self.reached = self.reached.max(Reached::Gate);
            tell(gate, stage, &self.plan)?;
        } else if stage == BuiltIn::Switch {
            self.meet_late_gate()?;
        }
        Ok(())
    }

    /// The commit point.
    fn point_forward(&self) -> Result<(), StageError> {
        let (root, to) = (&self.node.root, &self.opening.to);
        match self.opening.config {
            Some(renewal) => rendering::point(root, to, Some(renewal.to))?,
            None => swap::point_current(root, Some(to))?,
        }
        Ok(())
    }

    /// After a command that stands in the place of a built-in stage: what the later ones build on.
    pub(super) fn make_up_for(&mut self, step: &Step) -> Result<(), StageError> {
        let (Act::Run(_), Some(stage)) = (&step.act, BuiltIn::named(step.stage.as_str())) else {
            return Ok(());
        };
        match (stage, self.release, &mut self.gate) {
            // What is rendered is rendered with what the node gives.
            (BuiltIn::Requires, Some(release), _) => {
                self.inputs = Some(requires::check_inputs(self.node, &release.descriptor)?);
            }
            // The gate goes on with what it has seen to answer, and sends requests there. After a
            // crash that is done already, and a front end does it by itself.
            (BuiltIn::Health | BuiltIn::Open, _, Some(gate))
                if !self.resumed && self.plan.changeover != Changeover::Beside =>
            {
                self.reached = self.reached.max(Reached::Gate);
                tell(gate, stage, &self.plan)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs, or takes back, a stage that is driven through the trait.
    pub(super) fn drive(&mut self, step: &Step, verb: Verb) -> Result<(), StageError> {
        let pool = self.pool.take();
        let done = match stage(step, pool.as_deref(), self.own) {
            None => Err(StageError::Stranger(step.stage.clone())),
            Some(stage) => match verb {
                Verb::Run => stage.run(&mut self.scene()),
                Verb::Undo => stage.undo(&mut self.scene()),
            }
            .map_err(StageError::Stage),
        };
        self.pool = pool;
        done
    }
}

/// What stands behind a step that is not Cutover's own doing.
fn stage<'a>(
    step: &'a Step,
    pool: Option<&'a dyn Pool>,
    own: &'a [Own],
) -> Option<Box<dyn Stage + 'a>> {
    Some(match (&step.act, pool) {
        (Act::Run(run), _) => Box::new(Command::new(step, run)),
        (Act::BuiltIn(BuiltIn::Depool), Some(pool)) => Box::new(Depool(pool)),
        (Act::BuiltIn(BuiltIn::Repool), Some(pool)) => Box::new(Repool(pool)),
        (Act::Program, _) => {
            let own = own.iter().find(|own| own.name == step.stage)?;
            Box::new(&*own.stage)
        }
        _ => return None,
    })
}

/// Whether a command stands in the place of `start`.
fn is_replaced(plan: &Plan) -> bool {
    let start = |step: &&Step| step.stage == BuiltIn::Start.name();
    plan.steps.iter().find(start).is_some_and(|step| matches!(step.act, Act::Run(_)))
}

/// What the gate does in a stage.
fn tell(gate: &mut Session, stage: BuiltIn, plan: &Plan) -> Result<(), ControlError> {
    match stage {
        BuiltIn::Hold => gate.hold(),
        BuiltIn::Backoff => gate.backoff(),
        BuiltIn::Stop => gate.stop_running().map(drop),
        BuiltIn::Start => gate.start(&plan.to),
        BuiltIn::Health => {
            // Where a command stands in the place of `start`, it has not been told.
            if gate.status()?.newcomer.as_ref() != Some(&plan.to) && is_replaced(plan) {
                gate.start(&plan.to)?;
            }
            gate.wait_healthy().map(drop)
        }
        BuiltIn::Switch if plan.changeover == Changeover::BlueGreen => {
            gate.promote()?;
            gate.open()
        }
        BuiltIn::Open if plan.changeover == Changeover::Beside => gate.open(),
        BuiltIn::Open => {
            gate.promote()?;
            gate.open()
        }
        BuiltIn::Drain => gate.retire().map(drop),
        _ => Ok(()),
    }
}
