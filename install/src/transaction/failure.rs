//! How a transaction fails, and where that leaves the node.

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::version::Version;

use crate::build::BuildError;
use crate::configure::ConfigError;
use crate::disk::DiskError;
use crate::fetch::FetchError;
use crate::gate::ControlError;
use crate::node::NodeError;
use crate::plan::Stage;
use crate::requires::Lacking;
use crate::unpack::UnpackError;

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Preflight.
    #[error(transparent)]
    Lacking(#[from] Lacking),
    /// The contents.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The prefix.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The environment.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The node's own files.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The gate or the service.
    #[error(transparent)]
    Gate(#[from] ControlError),
    /// What is on the node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A file.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl StageError {
    /// Whether the release itself is to blame: it could not be started or was never healthy.
    pub(super) fn blames_release(&self) -> bool {
        matches!(
            self,
            Self::Gate(ControlError::Unhealthy { .. } | ControlError::CannotStart { .. })
        )
    }

    /// Whether the release can never be installed, however often it is tried.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.explain().exit(), Exit::NotTrusted | Exit::Usage)
    }

    fn explain(&self) -> &dyn Explain {
        match self {
            Self::Lacking(error) => error,
            Self::Fetch(error) => error,
            Self::Unpack(error) => error,
            Self::Build(error) => error,
            Self::Config(error) => error,
            Self::Gate(error) => error,
            Self::Node(error) => error,
            Self::Disk(error) => error,
        }
    }
}

/// A stage that failed.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) stage: Stage,
    pub(super) cause: Box<StageError>,
}

impl Broken {
    pub(super) fn at<E: Into<StageError>>(stage: Stage) -> impl FnOnce(E) -> Self {
        move |error| Self { stage, cause: Box::new(error.into()) }
    }
}

/// An install that did not come to its end, and where that left the node.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {cause}")]
pub struct Failed {
    stage: Stage,
    cause: Box<StageError>,
    left: Left,
}

/// Where a failure left the node.
#[derive(Debug)]
pub(super) enum Left {
    /// The symlink names what it named before.
    Unswitched(Option<Version>),
    /// The node went back to what ran before.
    WentBack(Option<Version>),
    /// Going back failed too.
    Stranded(Box<StageError>),
    /// The new release runs, but that could not be written down.
    Unsettled(Version),
}

impl Broken {
    pub(super) fn leaves(self, left: Left) -> Failed {
        Failed { stage: self.stage, cause: self.cause, left }
    }
}

impl Explain for Failed {
    fn exit(&self) -> Exit {
        match &self.left {
            Left::Unswitched(_) | Left::Unsettled(_) => self.cause.explain().exit(),
            Left::WentBack(_) => Exit::CheckFailed,
            Left::Stranded(_) => Exit::Unexpected,
        }
    }

    fn hints(&self) -> Vec<String> {
        let name = |version: &Option<Version>| match version {
            Some(version) => format!("the node is on {version} as before"),
            None => "the node is on no release, as before".to_owned(),
        };
        let mut hints = self.cause.explain().hints();
        hints.push(match &self.left {
            Left::Unswitched(version) => format!("nothing was switched: {}", name(version)),
            Left::WentBack(version) => format!("switched back: {}", name(version)),
            Left::Stranded(error) => {
                format!("going back failed too ({error}); run `install resume`")
            }
            Left::Unsettled(version) => {
                format!("{version} runs, but this could not be put on record; run `install resume`")
            }
        });
        hints
    }
}
