//! What an install is about to do: what the planner decides, the journal keeps and the transaction goes
//! through.

use cutover_formats::name::{Product, StageName};
use cutover_formats::period::Period;
use cutover_formats::stage::{BuiltIn, Check, CommandLine};
use cutover_formats::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// `install VERSION`.
    Install,
    /// `install rollback`.
    Rollback,
    /// `install apply`: the same release with another configuration.
    Apply,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Install => "install",
            Self::Rollback => "rollback",
            Self::Apply => "apply",
        })
    }
}

/// How the node changes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changeover {
    /// Nothing changes.
    None,
    /// Only the symlink: no gate runs, or nothing is to be served.
    Files,
    /// The newcomer starts beside what runs, if anything does.
    BlueGreen,
    /// Stop, switch, start; requests wait.
    Hold,
    /// Stop, switch, start; requests are refused.
    Backoff,
    /// The same release with another configuration: that is switched to first, then a newcomer starts
    /// with it beside what runs.
    InPlace,
    /// A front end serves: it is turned to the gate, and back when the new release answers.
    Beside,
}

impl Changeover {
    /// Whether the old release stops before the new one starts.
    #[must_use]
    pub fn pauses(self) -> bool {
        matches!(self, Self::Hold | Self::Backoff | Self::Beside)
    }
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

/// What a transaction is, known before its plan: the first line of its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Names the receipt too.
    pub id: String,
    /// What was asked for.
    pub operation: Operation,
    /// What ran before.
    pub from: Option<Version>,
    /// What shall run.
    pub to: Version,
    /// When it began.
    pub began: Timestamp,
    /// Of an `apply`: the configuration that changes, in the place of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigChange>,
}

/// The renderings between which an `apply` goes, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// What held before, if anything did.
    pub from: Option<u64>,
    /// What shall hold.
    pub to: u64,
}

/// How many files and bytes come from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Files that stand in the prefix already.
    pub kept: Amount,
    /// Files that are taken from other prefixes.
    pub here: Amount,
    /// Files from the bundle.
    pub bundle: Amount,
    /// Bytes over the wire.
    pub transfer: u64,
}

/// Files, and the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let transfer = cutover_terminal::bytes(self.transfer);
        write!(f, "{transfer} for {} files", self.bundle.files)?;
        for (amount, from) in [(self.here, "other releases"), (self.kept, "an earlier try")] {
            if amount.files > 0 {
                let bytes = cutover_terminal::bytes(amount.bytes);
                write!(f, ", {} ({bytes}) from {from}", amount.files)?;
            }
        }
        Ok(())
    }
}
