//! Stages and checks: the named steps of an install, and what releases and nodes add to them.
//!
#![doc = include_str!("../docs/stages.md")]

mod builtin;
mod check;
mod command;
mod rules;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::StageName;
use crate::period::Period;

pub use builtin::BuiltIn;
pub use check::{
    Bound, Check, FileCheck, HttpCheck, InvalidCheck, MetricCheck, Probe, Target, When,
};
pub use command::CommandLine;
pub use rules::{Author, Objection, meant, object};

/// `[stage.<name>]`, by name.
pub type Stages = BTreeMap<StageName, StageEntry>;

/// How long a command may take where nothing is said.
pub const DEFAULT_TIMEOUT: Period = Period::seconds(600);

/// How long to wait before another try where nothing is said.
pub const DEFAULT_PAUSE: Period = Period::seconds(1);

/// What a release or a node says about a stage. Everything is optional, so that entries of the same
/// name can be merged field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct StageEntry {
    /// A new stage comes right after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<StageName>,
    /// A new stage comes right before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<StageName>,
    /// What it does; for a built-in stage, instead of what that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<CommandLine>,
    /// The inverse, for the way back. It must bear that `run` did nothing, or half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<CommandLine>,
    /// Whether it runs on one node of the fleet only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub once: Option<bool>,
    /// Whether this node leaves it out; only a node may say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<bool>,
    /// How long `run` and `undo` may each take, before all their processes are killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How often to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long to wait before another try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Period>,
}

impl StageEntry {
    /// This entry with what `over` says instead. A place is replaced as a whole.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let place = if over.after.is_some() || over.before.is_some() { over } else { self };
        Self {
            after: place.after.clone(),
            before: place.before.clone(),
            run: over.run.clone().or_else(|| self.run.clone()),
            undo: over.undo.clone().or_else(|| self.undo.clone()),
            once: over.once.or(self.once),
            skip: over.skip.or(self.skip),
            timeout: over.timeout.or(self.timeout),
            retries: over.retries.or(self.retries),
            pause: over.pause.or(self.pause),
        }
    }
}

#[cfg(test)]
mod tests;
