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
use cutover_formats::name::{Product, StageName};
use cutover_formats::path::RelPath;
use cutover_formats::period::Period;
use cutover_formats::spelling::slips;
use cutover_formats::stage::{BuiltIn, Check, CommandLine, Stages};
use cutover_formats::version::Version;
use serde::{Deserialize, Serialize};

use crate::contents::Figures;
use crate::journal::Opening;
use crate::receipt::Operation;

pub use changeover::Changeover;
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

/// Who has a say in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Cutover itself.
    BuiltIn,
    /// The release.
    Release,
    /// The node.
    Node,
    /// The installer, in code.
    Program,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built-in",
            Self::Release => "release",
            Self::Node => "node",
            Self::Program => "program",
        })
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// What Cutover does.
    BuiltIn(BuiltIn),
    /// A command.
    Run(CommandLine),
    /// Code of the installer.
    Program,
    /// Nothing: the node leaves it out.
    Skip,
}

/// A check in its place, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Who asks for it.
    pub origin: Origin,
    /// What must hold.
    pub check: Check,
}

/// One stage with what it will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// The stage.
    pub stage: StageName,
    /// Who has a say in it.
    pub origins: Vec<Origin>,
    /// What it will do here, for people.
    pub what: String,
    /// What it does.
    pub act: Act,
    /// The inverse of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<CommandLine>,
    /// Whether it runs on one node of the fleet only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// How long it may take; `None` where it has limits of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How often it is tried again.
    #[serde(default)]
    pub retries: u32,
    /// How long to wait before that.
    pub pause: Period,
    /// What must hold before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Placed>,
    /// What must hold after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Placed>,
}

/// What an install will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is asked for.
    pub operation: Operation,
    /// The product.
    pub product: Product,
    /// What runs now.
    pub from: Option<Version>,
    /// What shall run.
    pub to: Version,
    /// How the node changes over.
    pub changeover: Changeover,
    /// Bytes to fetch at most.
    pub fetch: u64,
    /// How many files and bytes come from where; `None` where nobody has looked yet, or nothing is brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Figures>,
    /// Bytes that the prefix will take, without what is built in it.
    pub write: u64,
    /// The stages, in order; empty where nothing is to be done.
    pub steps: Vec<Step>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl Plan {
    /// The plan of a transaction of which only the beginning is known.
    #[must_use]
    pub fn unknown(product: &Product, opening: &Opening) -> Self {
        Self {
            operation: opening.operation,
            product: product.clone(),
            from: opening.from.clone(),
            to: opening.to.clone(),
            changeover: Changeover::None,
            fetch: 0,
            contents: None,
            write: 0,
            steps: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether the release must be brought to the node first.
    #[must_use]
    pub fn brings(&self) -> bool {
        self.steps.iter().any(|step| step.act == Act::BuiltIn(BuiltIn::Fetch))
    }
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
