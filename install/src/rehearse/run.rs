//! Going through the stages that are rehearsed.

use std::time::{Duration, Instant};

use cutover_formats::name::StageName;
use cutover_formats::stage::BuiltIn;
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::Output;

use super::figures::{DiskUse, LeftOut, Played};
use super::{Failed, failed, scratch};
use crate::check;
use crate::configure::inputs::Inputs;
use crate::disk::{self, DiskError};
use crate::gate::Trial;
use crate::interrupt::{self, Interruptible};
use crate::node::Node;
use crate::plan::{Act, Placed, Plan, Step};
use crate::receipt::{CheckPassed, StageTime};
use crate::requires;
use crate::resolve::Release;
use crate::stage::{Command, Scene, Stage as _, own};
use crate::transaction::bring::{Bring, Brought};
use crate::transaction::{StageError, attempts, fits, report};

/// What came of it.
#[derive(Default)]
pub(super) struct Done {
    pub(super) times: Vec<StageTime>,
    pub(super) checks: Vec<CheckPassed>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) played: Option<Played>,
    /// Seconds from the service's start to what an install would open the gate for.
    pub(super) ready: Option<f64>,
    pub(super) fetched: u64,
    pub(super) disk: DiskUse,
}

/// A rehearsal under way.
struct UnderWay<'a> {
    node: &'a Node,
    /// The node in small.
    scratch: &'a Node,
    id: String,
    plan: &'a Plan,
    release: &'a Release,
    mirrors: &'a Mirrors<'a>,
    output: &'a Output,
    /// Why the service is not started, if it is not.
    mute: Option<&'static str>,
    inputs: Option<Inputs>,
    brought: Brought,
    trial: Option<Trial>,
    started: Option<Instant>,
    done: Done,
}

/// Goes through what `plan` has for `node`, on `scratch`.
pub(super) fn run(
    node: &Node,
    scratch: &Node,
    plan: &Plan,
    release: &Release,
    mirrors: &Mirrors<'_>,
    output: &Output,
) -> Result<Done, Failed> {
    let mut under_way = UnderWay {
        node,
        scratch,
        id: scratch::id(&node.root),
        plan,
        release,
        mirrors,
        output,
        mute: mute(node),
        inputs: None,
        brought: Brought::default(),
        trial: None,
        started: None,
        done: Done::default(),
    };
    let _interruptible = Interruptible::begin();
    for step in &plan.steps {
        let done = under_way.step(step);
        let done = if interrupt::asked() { Err(StageError::Interrupted) } else { done };
        done.map_err(|error| failed(node, &step.stage, error))?;
    }
    let health = BuiltIn::Health.name();
    under_way.end().map_err(|error| failed(node, &health, error))?;
    Ok(under_way.done)
}

/// Why a node does not start a service itself, if it does not.
fn mute(node: &Node) -> Option<&'static str> {
    if node.is_beside() {
        return Some("a front end runs the service on this node");
    }
    let other = node.settings.service.manager.as_ref();
    other.map(|_| "another manager runs the service on this node")
}

impl UnderWay<'_> {
    fn step(&mut self, step: &Step) -> Result<(), StageError> {
        if step.act == Act::Skip {
            return Ok(());
        }
        if let Err(why) = self.takes_part(step) {
            if let Some(why) = why {
                self.leave_out(&step.stage, step.what.clone(), why);
            }
            for placed in step.before.iter().chain(&step.after) {
                self.leave_out_check(placed, "its stage is not rehearsed");
            }
            return Ok(());
        }
        self.checks(&step.before)?;
        let (began, output) = (Instant::now(), self.output);
        let words = attempts(step, output, || self.act(step))?;
        self.over(&step.stage, began.elapsed(), words.unwrap_or_else(|| step.what.clone()));
        self.checks(&step.after)?;
        if step.act == Act::BuiltIn(BuiltIn::Health) {
            let ready = self.started.map(|started| started.elapsed().as_secs_f64());
            self.done.ready = ready;
        }
        Ok(())
    }

    /// Whether a stage is rehearsed; if not, why, where that is worth a word.
    fn takes_part(&self, step: &Step) -> Result<(), Option<&'static str>> {
        use BuiltIn::{Build, Configure, Fetch, Health, Requires, Seal, Start, Unpack, Verify};
        match (&step.act, BuiltIn::named(step.stage.as_str())) {
            (_, Some(Requires | Fetch | Verify | Unpack | Build | Configure | Seal)) => Ok(()),
            (Act::BuiltIn(Start), _) => self.mute.map_or(Ok(()), |why| Err(Some(why))),
            (Act::BuiltIn(Health), _) if self.trial.is_some() => Ok(()),
            (Act::BuiltIn(Health), _) => Err(Some("no service was started")),
            // Of the change-over itself there is nothing to be rehearsed.
            (Act::BuiltIn(_), _) => Err(None),
            _ => Err(Some("it may change what others use")),
        }
    }

    fn leave_out(&mut self, stage: &StageName, what: String, why: &str) {
        let why = why.to_owned();
        self.done.left_out.push(LeftOut { stage: stage.clone(), what, why });
    }

    fn leave_out_check(&mut self, placed: &Placed, why: &str) {
        let check = &placed.check;
        self.leave_out(&check.stage, format!("check `{}`", check.probe), why);
    }

    fn checks(&mut self, checks: &[Placed]) -> Result<(), StageError> {
        for placed in checks {
            let check = &placed.check;
            if check.probe.asks_release() && self.trial.is_none() {
                self.leave_out_check(placed, "it asks the release that runs");
                continue;
            }
            check::check(placed, &mut self.scene())?;
            let (stage, what) = (check.stage.clone(), check.probe.to_string());
            self.done.checks.push(CheckPassed { stage, when: check.when, what });
        }
        Ok(())
    }

    fn scene(&self) -> Scene<'_> {
        let address = self.trial.as_ref().and_then(Trial::address);
        Scene {
            node: self.scratch,
            from: self.plan.from.as_ref(),
            to: &self.plan.to,
            id: &self.id,
            output: self.output,
            gate: None,
            alone: address.as_deref().map(own),
        }
    }

    fn over(&mut self, stage: &StageName, took: Duration, what: String) {
        let time = StageTime { stage: stage.clone(), seconds: took.as_secs_f64(), what };
        report(self.output, &time);
        self.done.times.push(time);
    }

    fn act(&mut self, step: &Step) -> Result<Option<String>, StageError> {
        let stage = match &step.act {
            Act::BuiltIn(stage) => *stage,
            Act::Run(run) => {
                let run = Command::new(step, run).run(&mut self.scene());
                run.map_err(StageError::Stage)?;
                if step.stage == BuiltIn::Requires.name() {
                    let descriptor = &self.release.descriptor;
                    self.inputs = Some(requires::check_inputs(self.scratch, descriptor)?);
                }
                return Ok(None);
            }
            Act::Program | Act::Skip => return Ok(None),
        };
        match stage {
            BuiltIn::Requires => self.requires()?,
            BuiltIn::Start => self.start()?,
            BuiltIn::Health => self.health()?,
            _ => return self.bring(stage, step),
        }
        Ok(None)
    }

    fn requires(&mut self) -> Result<(), StageError> {
        let descriptor = &self.release.descriptor;
        self.inputs = Some(requires::check_things(self.scratch, descriptor)?);
        requires::check_space(&self.scratch.root, descriptor)?;
        fits(descriptor, Some(self.mirrors), &mut self.scene())
    }

    fn bring(&mut self, stage: BuiltIn, step: &Step) -> Result<Option<String>, StageError> {
        let (root, id) = (&self.scratch.root, self.id.as_str());
        let (release, mirrors) = (self.release, self.mirrors);
        let (node, inputs) = (self.node, self.inputs.as_ref());
        let bring = Bring { node, root, id, release, mirrors, inputs };
        let words = bring.act(stage, step, &mut self.brought)?;
        if stage == BuiltIn::Seal {
            self.done.fetched = self.brought.transferred();
            self.done.disk = self.disk()?;
        }
        Ok(words)
    }

    fn disk(&self) -> Result<DiskUse, DiskError> {
        let (root, descriptor) = (&self.scratch.root, &self.release.descriptor);
        let prefix = root.prefix(&descriptor.version);
        let environment = match &descriptor.python {
            Some(python) => disk::taken(&prefix.join(python.env.as_path()))?,
            None => 0,
        };
        Ok(DiskUse {
            files: disk::taken(&prefix)?.saturating_sub(environment),
            environment,
            free: disk::free_space(root.path())?,
        })
    }

    fn start(&mut self) -> Result<(), StageError> {
        let (root, service) = (&self.scratch.root, &self.scratch.settings.service);
        self.started = Some(Instant::now());
        self.trial = Some(Trial::start(root, service, &self.plan.to)?);
        Ok(())
    }

    fn health(&mut self) -> Result<(), StageError> {
        let trial = self.trial.as_mut().ok_or(StageError::Disordered(BuiltIn::Start))?;
        Ok(trial.wait_healthy()?)
    }

    /// Sees that it stays healthy, and ends it.
    fn end(&mut self) -> Result<(), StageError> {
        let (Some(trial), Some(ready)) = (self.trial.take(), self.done.ready) else {
            return Ok(());
        };
        let memory = trial.memory();
        trial.stay_healthy()?;
        let ended = trial.end().as_secs_f64();
        self.done.played = Some(Played { ready, memory, ended });
        Ok(())
    }
}
