//! What releases and nodes say about stages, laid over what is built in: built-in < release < node,
//! by name, field by field.

use std::collections::{BTreeMap, BTreeSet};

use cutover_formats::descriptor::Descriptor;
use cutover_formats::name::StageName;
use cutover_formats::stage::{self, Author, BuiltIn, DEFAULT_PAUSE, DEFAULT_TIMEOUT, StageEntry};

use super::{Act, Added, Changeover, Origin, Place, Placed, PlanError, Step, Wishes, builtin};

/// Everything that is to be put in order.
pub(super) struct Merged {
    /// The built-in stages that are gone through.
    pub(super) built_in: BTreeMap<BuiltIn, Step>,
    /// The others, by name, each with its place.
    pub(super) added: BTreeMap<StageName, (Place, Step)>,
    /// The checks, the release's first.
    pub(super) checks: Vec<Placed>,
}

/// Lays the release's entries and the node's over the `steps` that are built in.
pub(super) fn merge(
    release: &Descriptor,
    wishes: &Wishes<'_>,
    steps: Vec<Step>,
    changeover: Changeover,
    notes: &mut Vec<String>,
) -> Result<Merged, PlanError> {
    stage::object(Author::Release, &release.stages, &release.checks).map_err(|objection| {
        let (key, why) = (objection.keys.join("."), objection.why);
        PlanError::Release { version: release.version.clone(), key, why }
    })?;
    let brings = steps.iter().any(|step| step.act == Act::BuiltIn(BuiltIn::Fetch));
    let mut built_in: BTreeMap<BuiltIn, Step> = BTreeMap::new();
    for step in steps {
        if let Act::BuiltIn(stage) = step.act {
            built_in.insert(stage, step);
        }
    }
    let mut added = BTreeMap::new();
    let nodes = wishes.stages.into_iter().flat_map(|stages| stages.keys());
    let names: BTreeSet<&StageName> = release.stages.keys().chain(nodes).collect();
    for name in names {
        let said = Said::of(name, release, wishes);
        match BuiltIn::named(name.as_str()) {
            Some(stage) => {
                said.refuse_unfit(stage)?;
                let replaced = said.entry.run.is_some();
                if replaced && has_place(stage, changeover, brings) {
                    built_in.entry(stage).or_insert_with(|| builtin::step(stage, ""));
                }
                if let Some(step) = built_in.get_mut(&stage) {
                    said.lay_over(step);
                }
            }
            None => match said.added() {
                Some(step) => {
                    added.insert(name.clone(), step);
                }
                None => notes.push(format!(
                    "node.toml: [stage.{name}] is of no use here: {} has no such stage{}",
                    release.version,
                    stage::meant(name, release.stages.keys())
                )),
            },
        }
    }
    for program in &wishes.program {
        let (name, stage) = of_program(program);
        if BuiltIn::named(name.as_str()).is_some() || added.contains_key(&name) {
            return Err(PlanError::Taken(name));
        }
        added.insert(name, stage);
    }
    let checks = checks(release, wishes, changeover, notes);
    Ok(Merged { built_in, added, checks })
}

/// A stage of the installer's own.
fn of_program(program: &Added) -> (StageName, (Place, Step)) {
    let mut step = builtin::step(BuiltIn::Requires, program.what.clone());
    step.stage = program.name.clone();
    (step.act, step.origins) = (Act::Program, vec![Origin::Program]);
    (program.name.clone(), (program.place.clone(), step))
}

/// Whether a replaced stage takes part although Cutover itself would have nothing to do there.
fn has_place(stage: BuiltIn, changeover: Changeover, brings: bool) -> bool {
    match stage {
        BuiltIn::Build | BuiltIn::Configure => brings,
        BuiltIn::Depool | BuiltIn::Repool => changeover.pauses(),
        BuiltIn::Stop | BuiltIn::Start | BuiltIn::Health => changeover == Changeover::Beside,
        _ => false,
    }
}

/// What is said about one stage, by whom.
struct Said<'a> {
    name: &'a StageName,
    release: Option<&'a StageEntry>,
    node: Option<&'a StageEntry>,
    entry: StageEntry,
}

impl<'a> Said<'a> {
    fn of(name: &'a StageName, release: &'a Descriptor, wishes: &'a Wishes<'_>) -> Self {
        let (release, node) =
            (release.stages.get(name), wishes.stages.and_then(|stages| stages.get(name)));
        let nothing = StageEntry::default();
        let entry = release.unwrap_or(&nothing).overlaid(node.unwrap_or(&nothing));
        Self { name, release, node, entry }
    }

    fn origins(&self) -> impl Iterator<Item = Origin> {
        let release = self.release.map(|_| Origin::Release);
        release.into_iter().chain(self.node.map(|_| Origin::Node))
    }

    /// Who gives a setting in the end.
    fn giver(&self, gives: impl Fn(&StageEntry) -> bool) -> Origin {
        if self.node.is_some_and(gives) { Origin::Node } else { Origin::Release }
    }

    /// Refuses settings that a built-in stage does not have, unless a command stands in its place.
    fn refuse_unfit(&self, stage: BuiltIn) -> Result<(), PlanError> {
        let entry = &self.entry;
        if entry.run.is_some() {
            return Ok(());
        }
        let refuse = |key, origin, why: String| {
            Err(PlanError::Setting { stage: self.name.clone(), key, origin, why })
        };
        if entry.undo.is_some() {
            let origin = self.giver(|entry| entry.undo.is_some());
            return refuse("undo", origin, "a built-in stage goes back by itself".to_owned());
        }
        if entry.timeout.is_some() && stage != BuiltIn::Build {
            let origin = self.giver(|entry| entry.timeout.is_some());
            let why = format!(
                "`{stage}` keeps limits of its own (health.within, drain, hold-max, a stalled \
                 repository); `build` and stages with `run` take a timeout"
            );
            return refuse("timeout", origin, why);
        }
        if entry.retries.is_some() && !stage.can_retry() {
            let origin = self.giver(|entry| entry.retries.is_some());
            return refuse("retries", origin, format!("`{stage}` is not tried twice"));
        }
        Ok(())
    }

    /// Puts it into the step of a built-in stage.
    fn lay_over(&self, step: &mut Step) {
        let entry = &self.entry;
        step.origins.extend(self.origins());
        if let Some(run) = &entry.run {
            step.act = Act::Run(run.clone());
            step.what = run.to_string();
            step.timeout = Some(DEFAULT_TIMEOUT);
            step.undo.clone_from(&entry.undo);
        }
        step.timeout = entry.timeout.or(step.timeout);
        step.retries = entry.retries.unwrap_or(step.retries);
        step.pause = entry.pause.unwrap_or(step.pause);
    }

    /// A stage that is not built in, where somebody says what it does and where it goes.
    fn added(&self) -> Option<(Place, Step)> {
        let entry = &self.entry;
        let place = match (&entry.after, &entry.before) {
            (Some(after), _) => Place::After(after.clone()),
            (None, Some(before)) => Place::Before(before.clone()),
            (None, None) => return None,
        };
        let run = entry.run.clone()?;
        let skips = entry.skip == Some(true);
        let what = match (skips, entry.once == Some(true)) {
            (true, _) => "SKIPPED: node.toml says so".to_owned(),
            (false, true) => format!("{run} (on one node only)"),
            (false, false) => run.to_string(),
        };
        let step = Step {
            stage: self.name.clone(),
            origins: self.origins().collect(),
            what,
            act: if skips { Act::Skip } else { Act::Run(run) },
            undo: entry.undo.clone(),
            once: entry.once == Some(true),
            timeout: Some(entry.timeout.unwrap_or(DEFAULT_TIMEOUT)),
            retries: entry.retries.unwrap_or(0),
            pause: entry.pause.unwrap_or(DEFAULT_PAUSE),
            before: Vec::new(),
            after: Vec::new(),
        };
        Some((place, step))
    }
}

fn checks(
    release: &Descriptor,
    wishes: &Wishes<'_>,
    changeover: Changeover,
    notes: &mut Vec<String>,
) -> Vec<Placed> {
    let ours = release.checks.iter().map(|check| (Origin::Release, check));
    let all = ours.chain(wishes.checks.iter().map(|check| (Origin::Node, check)));
    let mut kept = Vec::new();
    for (origin, check) in all {
        if changeover == Changeover::Files && check.probe.asks_release() {
            notes.push(format!("the check `{}` is left out: no gate runs to ask", check.probe));
        } else {
            kept.push(Placed { origin, check: check.clone() });
        }
    }
    kept
}
