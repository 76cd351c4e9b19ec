//! Finding the gate. It may come up, go away or be replaced while a release is being brought, so
//! nothing is asked of it before the change-over is near: then it is looked for again, and where it is
//! not as it was, the rest is planned anew.
//!
//! A gate opens its control socket first and reads `current` afterwards; an install renames `current`
//! first and looks for the socket afterwards. So one of them always sees what the other did, whoever
//! comes first.
//!
//! What has begun outside of the gate is never planned away: a plan without it would not take it back,
//! nor come to its counterpart. Where there is no other plan, that is an error, and everything goes back.

use std::rc::Rc;
use std::time::{Duration, Instant};

use cutover_formats::descriptor::Swap;
use cutover_formats::name::StageName;
use cutover_formats::stage::BuiltIn;

use super::failure::StageError;
use super::{Reached, UnderWay};
use crate::gate::{ControlError, Session};
use crate::node::Node;
use crate::plan::{Act, GateSituation, Opening, Plan, Situation, Step, Wishes, plan};
use crate::receipt;
use crate::situation::{self, SituationError};
use crate::swap::{self, Served};

/// What a plan is made from, beside the release.
pub(super) struct Planning<'a> {
    pub(super) situation: Situation,
    pub(super) wishes: &'a Wishes<'a>,
}

/// While these are to come, the change-over is not near: they may take hours.
const BRINGING: [BuiltIn; 5] =
    [BuiltIn::Requires, BuiltIn::Fetch, BuiltIn::Verify, BuiltIn::Unpack, BuiltIn::Build];

/// How often a service that is starting is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a gate may take until it answers on its control socket.
const STARTING: Duration = Duration::from_secs(30);

/// How much longer than its release says a service is waited for that a gate starts by itself.
const MARGIN: Duration = Duration::from_secs(5);

impl UnderWay<'_> {
    /// Before each step, `over` being those that are over: finds the gate; and once the change-over is
    /// near, takes the lease of it and announces what clients will feel. Stages that releases and nodes
    /// add may take long, so they are not a part of that before the change-over itself begins.
    pub(super) fn meet_gate(&mut self, over: &[StageName]) -> Result<(), StageError> {
        if self.reached != Reached::Nothing || (self.leased && !self.is_lost()) {
            return Ok(());
        }
        self.leased = false;
        let brings = |stage: &StageName| BRINGING.iter().any(|one| one.as_str() == stage.as_str());
        let mut left = self.plan.steps.iter().filter(|step| !over.contains(&step.stage));
        let next = left.clone().next();
        let is_added = next.is_some_and(|step| BuiltIn::named(step.stage.as_str()).is_none());
        if is_added || left.any(|step| brings(&step.stage)) {
            // Checks and commands may ask for it; one that is just starting is not waited for.
            self.gate = situation::gate(self.node).unwrap_or_default();
            return Ok(());
        }
        self.gate = find(self.node)?;
        if let Some(gate) = &mut self.gate {
            gate.begin()?;
            self.leased = true;
        }
        let found = situation::of_gate(self.node, self.gate.as_mut())?;
        self.plan_for(found)?;
        if let Some(gate) = self.gate.as_mut().filter(|_| self.plan.changeover.pauses()) {
            // So that load falls before it begins.
            gate.announce(receipt::usual_dark(&self.node.root)?.unwrap_or(1))?;
        }
        Ok(())
    }

    fn is_lost(&mut self) -> bool {
        let status = self.gate.as_mut().map(Session::status);
        matches!(status, Some(Err(ControlError::Lost { .. })))
    }

    /// Plans anew what is left, where the gate is not what the plan was made for.
    fn plan_for(&mut self, found: GateSituation) -> Result<(), StageError> {
        let (Some(planning), Some(release)) = (&mut self.planning, self.release) else {
            return Ok(());
        };
        if planning.situation.gate == found {
            return Ok(());
        }
        planning.situation.gate = found;
        let descriptor = &release.descriptor;
        let mut anew = plan(self.plan.operation, &planning.situation, descriptor, planning.wishes)?;
        anew.notes.retain(|note| !self.plan.notes.contains(note));
        if anew.steps == self.plan.steps {
            return Ok(());
        }
        let begun = self.begun.iter().map(|index| &self.plan.steps[*index]);
        if let Some(lost) = begun.filter(|step| reaches_out(step)).find(|step| !has(&anew, step)) {
            return Err(StageError::PlannedAway(lost.stage.clone()));
        }
        self.output.note("the gate is not as it was: what is left is planned anew");
        anew.notes.iter().for_each(|note| self.output.warn(note));
        anew.notes.splice(0..0, self.plan.notes.iter().cloned());
        self.recorder.journal.plan(&anew)?;
        let names = self.begun.iter().map(|index| &self.plan.steps[*index].stage);
        let place = |name: &StageName| anew.steps.iter().position(|step| step.stage == *name);
        self.begun = names.filter_map(place).collect();
        self.plan = Rc::new(anew);
        Ok(())
    }

    /// Right after the switch, where no gate was found before it: one that came up in that very moment
    /// may have read the old name.
    pub(super) fn meet_late_gate(&mut self) -> Result<(), StageError> {
        let Some(mut gate) = find(self.node)? else { return Ok(()) };
        gate.begin()?;
        self.leased = true;
        let gate = self.gate.insert(gate);
        let Some(served) = expected(self.node, &self.opening)? else {
            return leave_idle(gate, self.node.is_beside());
        };
        let service = match self.release {
            Some(release) => release.descriptor.service.clone(),
            None => self.node.descriptor(&served.version)?.service,
        };
        let Some(service) = service else { return Ok(()) };
        match gate.status()?.running {
            Some(running) if served.is(&running) => {
                let within = service.health.within.as_duration().saturating_add(MARGIN);
                wait_until_healthy(gate, &served, within)?;
            }
            Some(_) => {
                let wished = self.planning.as_ref().and_then(|planning| planning.wishes.swap);
                match wished.unwrap_or(service.swap) {
                    Swap::BlueGreen => {}
                    Swap::Hold => gate.hold().and_then(|()| gate.stop_running()).map(drop)?,
                    Swap::Backoff => gate.backoff().and_then(|()| gate.stop_running()).map(drop)?,
                }
                swap::ensure_served(gate, &served)?;
            }
            None => swap::ensure_served(gate, &served)?,
        }
        Ok(())
    }

    /// When all steps are over: what serves is what this install says, also where commands stood in
    /// the place of stages, or the gate was started again meanwhile.
    pub(super) fn see_served(&mut self) -> Result<(), StageError> {
        let Some(gate) = &mut self.gate else { return Ok(()) };
        let status = match gate.status() {
            Err(ControlError::Lost { .. }) => {
                (self.gate, self.leased) = (None, false);
                return self.meet_late_gate();
            }
            status => status?,
        };
        match expected(self.node, &self.opening)? {
            Some(served) if !status.running.is_some_and(|running| served.is(&running)) => {
                Ok(swap::ensure_served(gate, &served)?)
            }
            Some(_) => Ok(()),
            None => leave_idle(gate, self.node.is_beside()),
        }
    }
}

/// Whether a step that comes before the change-over does something outside of the node's own files.
fn reaches_out(step: &Step) -> bool {
    matches!(step.act, Act::BuiltIn(BuiltIn::Depool) | Act::Run(_) | Act::Program)
}

fn has(plan: &Plan, step: &Step) -> bool {
    plan.steps.iter().any(|other| (&other.stage, &other.act) == (&step.stage, &step.act))
}

/// The gate of the node, if it runs. One that starts has its socket before it answers on it: it first
/// ends what an earlier one left.
pub(super) fn find(node: &Node) -> Result<Option<Session>, SituationError> {
    let began = Instant::now();
    loop {
        match situation::gate(node) {
            Err(SituationError::Gate(ControlError::Lost { .. })) if began.elapsed() < STARTING => {
                std::thread::sleep(LOOK_AGAIN);
            }
            found => return found,
        }
    }
}

/// What the gate is to serve in the end.
fn expected(node: &Node, opening: &Opening) -> Result<Option<Served>, StageError> {
    let config = opening.config.map(|renewal| renewal.to);
    Ok(node.served(Some(&opening.to))?.map(|version| Served { version, config }))
}

/// For a release without a service.
fn leave_idle(gate: &mut Session, beside: bool) -> Result<(), StageError> {
    if !beside && gate.status()?.running.is_some() {
        gate.stop_running()?;
    }
    Ok(())
}

/// The gate starts it by itself.
fn wait_until_healthy(
    gate: &mut Session,
    served: &Served,
    within: Duration,
) -> Result<(), ControlError> {
    let began = Instant::now();
    loop {
        let running = gate.status()?.running;
        if running.is_some_and(|running| running.healthy && served.is(&running)) {
            return Ok(());
        }
        if began.elapsed() >= within {
            let reason = format!("not within {:.0} s of the gate's start", within.as_secs_f64());
            let version = served.version.clone();
            return Err(ControlError::Unhealthy { version, reason, log_tail: Vec::new() });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
