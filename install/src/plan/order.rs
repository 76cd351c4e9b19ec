//! The order of all stages.
//!
//! The built-in stages have their places, also where a change-over leaves them out. Every other
//! stage hangs on one of them, right before or after, or on another that does; several on the same
//! side go by name. What can be reached so is all there is: the rest stands beside nothing, or in
//! a circle.

use std::collections::{BTreeMap, BTreeSet};

use cutover_formats::name::StageName;
use cutover_formats::stage::{BuiltIn, When, meant};

use super::changeover::places;
use super::merge::Merged;
use super::{Act, Changeover, Place, PlanError, Step};

/// Puts everything in order.
pub(super) fn order(merged: Merged, changeover: Changeover) -> Result<Vec<Step>, PlanError> {
    let Merged { built_in, added, checks } = merged;
    refuse_strangers(&added)?;
    let mut walk = Walk { beside: beside(&added), names: Vec::new() };
    for stage in places(changeover) {
        walk.visit(&stage.name());
    }
    let reached: BTreeSet<&StageName> = walk.names.iter().collect();
    let circle: Vec<StageName> =
        added.keys().filter(|name| !reached.contains(name)).cloned().collect();
    if !circle.is_empty() {
        return Err(PlanError::Circle(circle));
    }
    let known: BTreeSet<StageName> = walk.names.iter().cloned().collect();
    let mut steps: BTreeMap<StageName, Step> =
        built_in.into_values().map(|step| (step.stage.clone(), step)).collect();
    steps.extend(added.into_iter().map(|(name, (_, step))| (name, step)));
    let mut ordered = Ordered { steps: Vec::new(), early: Vec::new() };
    for name in &walk.names {
        let here = checks.iter().filter(|placed| placed.check.stage == *name);
        let (before, after): (Vec<_>, Vec<_>) =
            here.cloned().partition(|placed| placed.check.when == When::Before);
        match steps.remove(name) {
            Some(step) => ordered.step(step, before, after),
            None => ordered.checks_only(before.into_iter().chain(after).collect()),
        }
    }
    match checks.into_iter().find(|placed| !known.contains(&placed.check.stage)) {
        None => Ok(ordered.steps),
        Some(stray) => Err(PlanError::NoAnchor {
            what: format!("the check `{}`", stray.check.probe),
            origin: stray.origin,
            meant: meant(&stray.check.stage, &known),
            anchor: stray.check.stage,
        }),
    }
}

fn anchor(place: &Place) -> &StageName {
    match place {
        Place::After(anchor) | Place::Before(anchor) => anchor,
    }
}

fn refuse_strangers(added: &BTreeMap<StageName, (Place, Step)>) -> Result<(), PlanError> {
    let known =
        |name: &StageName| BuiltIn::named(name.as_str()).is_some() || added.contains_key(name);
    match added.values().find(|(place, _)| !known(anchor(place))) {
        None => Ok(()),
        Some((place, step)) => Err(PlanError::NoAnchor {
            what: format!("the stage `{}`", step.stage),
            origin: step.origins.last().copied().unwrap_or(super::Origin::Release),
            anchor: anchor(place).clone(),
            meant: meant(anchor(place), added.keys()),
        }),
    }
}

/// What hangs on a stage: on its near side, and on its far side.
type Beside = BTreeMap<StageName, (Vec<StageName>, Vec<StageName>)>;

fn beside(added: &BTreeMap<StageName, (Place, Step)>) -> Beside {
    let mut beside = Beside::new();
    for (name, (place, _)) in added {
        let sides = beside.entry(anchor(place).clone()).or_default();
        match place {
            Place::Before(_) => sides.0.push(name.clone()),
            Place::After(_) => sides.1.push(name.clone()),
        }
    }
    beside
}

struct Walk {
    beside: Beside,
    names: Vec<StageName>,
}

impl Walk {
    /// Every stage hangs on exactly one other, so this comes to an end and to each only once.
    fn visit(&mut self, name: &StageName) {
        let (before, after) = self.beside.get(name).cloned().unwrap_or_default();
        before.iter().for_each(|name| self.visit(name));
        self.names.push(name.clone());
        after.iter().for_each(|name| self.visit(name));
    }
}

struct Ordered {
    steps: Vec<Step>,
    /// Checks of places before the first step.
    early: Vec<super::Placed>,
}

impl Ordered {
    fn step(&mut self, mut step: Step, before: Vec<super::Placed>, after: Vec<super::Placed>) {
        step.before = std::mem::take(&mut self.early);
        if step.act != Act::Skip {
            step.before.extend(before);
            step.after = after;
        }
        self.steps.push(step);
    }

    /// The checks of a stage that is left out are made in its place: after the one before it.
    fn checks_only(&mut self, checks: Vec<super::Placed>) {
        match self.steps.iter_mut().rfind(|step| step.act != Act::Skip) {
            Some(step) => step.after.extend(checks),
            None => self.early.extend(checks),
        }
    }
}
