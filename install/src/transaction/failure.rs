//! How a transaction fails, and where that leaves the node.

use std::fmt;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::name::StageName;
use cutover_formats::stage::BuiltIn;
use cutover_formats::version::Version;
use cutover_terminal::Failure;

use crate::build::BuildError;
use crate::check::CheckFailed;
use crate::configure::ConfigError;
use crate::contents::ContentsError;
use crate::disk::DiskError;
use crate::fetch::FetchError;
use crate::folding::FoldingError;
use crate::gate::ControlError;
use crate::journal::JournalError;
use crate::node::NodeError;
use crate::once::OnceError;
use crate::plan::{Operation, Origin, Plan, PlanError};
use crate::pool::PoolError;
use crate::requires::{Lacking, Shortage};
use crate::schema::SchemaError;
use crate::situation::SituationError;

/// Whose fault a failure is. The exit code says what is the matter; this decides what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Its own code, stages or checks failed: it is remembered as bad.
    Release,
    /// Settings, space, permissions, limits, the node's own commands: the release stays good.
    Node,
    /// What was fetched is not what was promised, or nobody gave it.
    Repository,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "release",
            Self::Node => "node",
            Self::Repository => "repository",
        })
    }
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Preflight.
    #[error(transparent)]
    Lacking(#[from] Lacking),
    /// The contents.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Names that are one here.
    #[error(transparent)]
    Folding(#[from] FoldingError),
    /// The prefix.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The environment.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The node's own files.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The rest cannot be planned anew.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The gate or the service.
    #[error(transparent)]
    Gate(#[from] ControlError),
    /// What is on the node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// What was looked for on the node, its gate and its pool.
    #[error(transparent)]
    Situation(#[from] SituationError),
    /// A file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What was cut off.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Something does not hold.
    #[error(transparent)]
    Check(#[from] CheckFailed),
    /// The database.
    #[error(transparent)]
    Schema(#[from] Box<SchemaError>),
    /// The fleet.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// A command, or a stage in code.
    #[error("{}", .0.message)]
    Stage(Failure),
    /// A stage that this program does not have: another began it, or the node left its pool for good.
    #[error("this program has no stage `{0}`")]
    Stranger(StageName),
    /// A stage that was begun cannot be taken back.
    #[error("cannot undo {stage}: {cause}")]
    Undone {
        /// The stage.
        stage: StageName,
        /// Why not.
        cause: Box<StageError>,
    },
    /// A stage without the one that it builds on.
    #[error("the plan comes here without `{0}`")]
    Disordered(BuiltIn),
    /// What has begun has no place in the plan that the gate would need now.
    #[error("the gate went away, or runs something else than before, after `{0}` had begun")]
    PlannedAway(StageName),
    /// Somebody wants it to go back.
    #[error("interrupted")]
    Interrupted,
}

impl From<SchemaError> for StageError {
    fn from(error: SchemaError) -> Self {
        Self::Schema(Box::new(error))
    }
}

impl StageError {
    /// Whose fault it is; `owner` says who brought the command of the stage that failed.
    pub(super) fn blame(&self, owner: Origin) -> Blame {
        let failed = self.exit() == Exit::CheckFailed;
        match self {
            Self::Gate(error) if error.blames_release() => Blame::Release,
            Self::Check(check) if failed && check.is_of_release() => Blame::Release,
            Self::Stage(_) if failed && owner == Origin::Release => Blame::Release,
            Self::Schema(error) if matches!(**error, SchemaError::NotBrought { .. }) => {
                Blame::Release
            }
            Self::Undone { cause, .. } => cause.blame(owner),
            Self::Fetch(_) | Self::Contents(_) => match self.exit() {
                Exit::NotTrusted | Exit::NotFound | Exit::Unreachable => Blame::Repository,
                _ => Blame::Node,
            },
            _ => Blame::Node,
        }
    }

    /// Whether the release was not fit to be served: it could not be started or was never healthy.
    pub(super) fn is_unfit(&self) -> bool {
        matches!(self, Self::Gate(error) if error.blames_release())
    }

    /// Whether what was brought so far does not stay for the next try: it is not what was signed, is not
    /// fit for this node, or takes the room that is missing.
    pub(crate) fn spoils_contents(&self) -> bool {
        matches!(self, Self::Config(_)) || matches!(self.exit(), Exit::NotTrusted | Exit::NoSpace)
    }

    /// Whether a crash is ended by going back from here, rather than by trying again: the release was
    /// not fit, something that was to hold does not, or something that was to be done was not.
    pub(super) fn decides(&self) -> bool {
        self.is_unfit() || matches!(self, Self::Check(_) | Self::Stage(_) | Self::Schema(_))
    }

    fn explain(&self) -> Option<&dyn Explain> {
        Some(match self {
            Self::Lacking(error) => error,
            Self::Fetch(error) => error,
            Self::Folding(error) => error,
            Self::Contents(error) => error,
            Self::Build(error) => error,
            Self::Config(error) => error,
            Self::Plan(error) => error,
            Self::Gate(error) => error,
            Self::Node(error) => error,
            Self::Situation(error) => error,
            Self::Disk(error) => error,
            Self::Journal(error) => error,
            Self::Pool(error) => error,
            Self::Check(error) => error,
            Self::Schema(error) => &**error,
            Self::Once(error) => error,
            Self::Undone { cause, .. } => &**cause,
            Self::Stage(_)
            | Self::Stranger(_)
            | Self::Disordered(_)
            | Self::PlannedAway(_)
            | Self::Interrupted => return None,
        })
    }
}

impl Explain for StageError {
    fn exit(&self) -> Exit {
        match (self, self.explain()) {
            (_, Some(error)) => error.exit(),
            (Self::Stage(failure), None) => failure.exit,
            (Self::Stranger(_), None) => Exit::Usage,
            (_, None) => Exit::Unexpected,
        }
    }

    fn hints(&self) -> Vec<String> {
        match (self, self.explain()) {
            (Self::Undone { cause, .. }, _) => {
                let again =
                    "`install resume` tries again; `install resume --leave-undone` lets it be";
                let mut hints = cause.hints();
                hints.push(again.to_owned());
                hints
            }
            (_, Some(error)) => error.hints(),
            (Self::Stage(failure), None) => failure.hints.clone(),
            (Self::Stranger(_), None) => vec![
                "end it with the installer that began it; it stays in the journal until then"
                    .to_owned(),
            ],
            (Self::PlannedAway(_), None) => {
                vec!["see the gate's log; when it runs, install again".to_owned()]
            }
            (_, None) => Vec::new(),
        }
    }
}

/// A stage that failed.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) stage: StageName,
    pub(super) cause: Box<StageError>,
}

impl Broken {
    pub(super) fn at<E: Into<StageError>>(stage: &StageName) -> impl FnOnce(E) -> Self {
        |error| Self { stage: stage.clone(), cause: Box::new(error.into()) }
    }
}

/// An install that did not come to its end, and where that left the node.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {cause}")]
pub struct Failed {
    stage: StageName,
    cause: Box<StageError>,
    left: Left,
    /// What the disk lacks for the release; told where the disk is to blame.
    shortage: Option<Shortage>,
}

/// What ran before.
#[derive(Debug)]
pub(super) struct Was {
    version: Option<Version>,
    operation: Operation,
}

impl Was {
    pub(super) fn of(plan: &Plan) -> Self {
        Self { version: plan.from.clone(), operation: plan.operation }
    }
}

impl fmt::Display for Was {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.version, self.operation) {
            (Some(version), Operation::Apply) => {
                write!(f, "the node is on {version} with its configuration as before")
            }
            (Some(version), _) => write!(f, "the node is on {version} as before"),
            (None, _) => f.write_str("the node is on no release, as before"),
        }
    }
}

/// Where a failure left the node.
#[derive(Debug)]
pub(super) enum Left {
    /// The symlink names what it named before.
    Unswitched(Was),
    /// The node went back to what ran before.
    WentBack(Was),
    /// Going back failed too.
    Stranded(Box<StageError>),
    /// The new release runs, but the pool could not be told.
    Depooled(Version),
}

impl Broken {
    /// Whether the new release serves, and only a pool that cannot be reached does not know yet.
    /// To go back would not reach it either.
    pub(super) fn is_only_depooled(&self) -> bool {
        self.stage == BuiltIn::Repool.name() && self.cause.exit() == Exit::Unreachable
    }

    pub(super) fn leaves(self, left: Left) -> Failed {
        Failed { stage: self.stage, cause: self.cause, left, shortage: None }
    }
}

impl Failed {
    /// The same, told what the disk lacks.
    pub(super) fn short_of(self, shortage: Option<Shortage>) -> Self {
        Self { shortage, ..self }
    }
}

impl Explain for Failed {
    fn exit(&self) -> Exit {
        match &self.left {
            Left::Unswitched(_) | Left::WentBack(_) | Left::Depooled(_) => self.cause.exit(),
            Left::Stranded(error) => match error.exit() {
                Exit::NoSpace => Exit::NoSpace,
                _ => Exit::Unexpected,
            },
        }
    }

    fn hints(&self) -> Vec<String> {
        let mut hints = self.cause.hints();
        hints.push(match &self.left {
            Left::Unswitched(was) => format!("nothing was switched: {was}"),
            Left::WentBack(was) => format!("switched back: {was}"),
            Left::Stranded(error) => {
                format!("going back could not be finished ({error}); run `install resume`")
            }
            Left::Depooled(version) => format!(
                "{version} runs and is kept, but the node is out of its pool; once the pool can be \
                 reached, `install resume` puts it back"
            ),
        });
        if let (Exit::NoSpace, Some(shortage)) = (self.cause.exit(), &self.shortage) {
            hints.push(shortage.to_string());
        }
        hints
    }
}
