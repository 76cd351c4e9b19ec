//! What an install will do, decided before anything is done.
//!
//! [`plan`] is pure: it sees the node's situation, the release and the node's wishes, and leaves
//! the executor no choice. The same plan is what `install plan` prints, and what the journal keeps,
//! so that after a crash nothing has to be decided again.
//!
//! It is made in three steps: the built-in stages of this change-over (`builtin`), what releases and
//! nodes say about stages (`merge`), and the order of all of it (`order`).

mod builtin;
mod changeover;
mod error;
mod merge;
mod order;

use std::collections::BTreeSet;

use cutover_formats::descriptor::{Descriptor, Swap};
use cutover_formats::name::StageName;
use cutover_formats::path::RelPath;
use cutover_formats::spelling::slips;
use cutover_formats::stage::{BuiltIn, Check, CommandLine, Stages};
use cutover_formats::version::Version;

pub use builtin::space;
pub use cutover_node::plan::{Act, Changeover, Opening, Operation, Origin, Placed, Plan, Step};
pub use error::PlanError;

/// What the planner knows of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// What `current` names.
    pub current: Option<Version>,
    /// Prefixes that are whole.
    pub sealed: BTreeSet<Version>,
    /// The gate.
    pub gate: GateSituation,
    /// The pool, as it describes itself, if the node is in one.
    pub pool: Option<String>,
}

/// What the planner knows of the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateSituation {
    /// `node.toml` has none.
    None,
    /// It is configured but does not run.
    Down,
    /// It runs.
    Up {
        /// The release that it serves.
        serving: Option<Version>,
    },
    /// It is the maintenance responder beside a front end, which serves.
    Beside {
        /// Whether it runs.
        runs: bool,
    },
}

/// What the node, and the installer itself, want of a plan.
#[derive(Clone, Debug, Default)]
pub struct Wishes<'a> {
    /// How to change over, whatever the release says.
    pub swap: Option<Swap>,
    /// What `node.toml` says about stages.
    pub stages: Option<&'a Stages>,
    /// The checks of `node.toml`.
    pub checks: &'a [Check],
    /// Stages of the installer's own.
    pub program: Vec<Added>,
    /// What an `apply` is for.
    pub renewal: Renewal,
}

/// Why the release that runs should start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Renewal {
    /// It should not.
    #[default]
    Needless,
    /// These files of it would be rendered otherwise now, or are not as they were rendered.
    Files(Vec<RelPath>),
    /// The operator wants it to, whatever it reads.
    Wanted,
}

/// A stage that an installer adds in code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its name.
    pub name: StageName,
    /// Where it goes.
    pub place: Place,
    /// What it will do, for people.
    pub what: String,
}

/// Where a stage goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Right after another.
    After(StageName),
    /// Right before another.
    Before(StageName),
}

/// Decides what an install, a rollback or an apply of `release` does on a node in this `situation`.
pub fn plan(
    operation: Operation,
    situation: &Situation,
    release: &Descriptor,
    wishes: &Wishes<'_>,
) -> Result<Plan, PlanError> {
    let present = situation.sealed.contains(&release.version);
    let renewal = (operation == Operation::Apply).then_some(&wishes.renewal);
    let changeover = changeover::choose(situation, release, wishes.swap, renewal);
    let mut plan = Plan {
        operation,
        product: release.product.clone(),
        from: situation.current.clone(),
        to: release.version.clone(),
        changeover,
        fetch: if present { 0 } else { release.bundle().size },
        contents: None,
        write: if present { 0 } else { release.files.bytes },
        steps: Vec::new(),
        notes: changeover::notes(situation, release),
    };
    if changeover != Changeover::None {
        let steps = builtin::steps(changeover, situation, release, renewal);
        let merged = merge::merge(release, wishes, steps, changeover, &mut plan.notes)?;
        plan.steps = order::order(merged, changeover)?;
        plan.notes.extend(plan.steps.iter().flat_map(misspelt_placeholders));
        let renders = |step: &Step| step.act == Act::BuiltIn(BuiltIn::Configure);
        if renewal.is_some() && !plan.steps.iter().any(renders) {
            return Err(PlanError::Unrendered);
        }
    }
    Ok(plan)
}

/// What looks like a placeholder in the commands of a step, and would reach them as it is.
fn misspelt_placeholders(step: &Step) -> Vec<String> {
    let run = match &step.act {
        Act::Run(line) => Some(line),
        Act::BuiltIn(_) | Act::Program | Act::Skip => None,
    };
    let texts = run.into_iter().chain(&step.undo).flat_map(CommandLine::texts);
    slips(&format!("[stage.{}]", step.stage), texts).collect()
}

#[cfg(test)]
mod tests;
