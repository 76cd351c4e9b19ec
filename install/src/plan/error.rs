//! What cannot be planned.

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::name::StageName;
use cutover_formats::version::Version;

use super::Origin;

/// Stages that cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The release says what no release may say.
    #[error("{version} cannot be installed: {key} {why}")]
    Release {
        /// Which one.
        version: Version,
        /// The key in its `release.toml`.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A setting that the stage does not have.
    #[error("stage.{stage}.{key} ({origin}): {why}")]
    Setting {
        /// The stage.
        stage: StageName,
        /// The setting.
        key: &'static str,
        /// Who gives it.
        origin: Origin,
        /// Why it makes no sense.
        why: String,
    },
    /// A stage or check stands beside one that is not there.
    #[error("{what} ({origin}) stands beside `{anchor}`, and there is no such stage{meant}")]
    NoAnchor {
        /// The stage or check.
        what: String,
        /// Whose it is.
        origin: Origin,
        /// What is missing.
        anchor: StageName,
        /// What may be meant, if anything, in the words of [`meant`](cutover_formats::stage::meant).
        meant: String,
    },
    /// Stages that stand beside each other only.
    #[error("the stages {} stand in a circle, each beside another", list(.0))]
    Circle(Vec<StageName>),
    /// Nothing is rendered that could be applied.
    #[error("a command stands in the place of `configure`, so there is nothing to apply")]
    Unrendered,
    /// Two stages of one name.
    #[error("the installer adds a stage `{0}`, and there is one of that name already")]
    Taken(StageName),
}

fn list(names: &[StageName]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

impl Explain for PlanError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        let next = match self {
            Self::Release { .. } => "the release must be made anew without it",
            Self::Setting { origin: Origin::Node, .. }
            | Self::NoAnchor { origin: Origin::Node, .. } => {
                "correct node.toml; the built-in stages and those of the release can be named there"
            }
            Self::Unrendered => {
                "have that command's work done and the service started anew by hand"
            }
            Self::Setting { .. } | Self::NoAnchor { .. } | Self::Circle(_) | Self::Taken(_) => {
                "give each a place beside a built-in stage"
            }
        };
        vec![format!("nothing was fetched and nothing changed; {next}")]
    }
}
