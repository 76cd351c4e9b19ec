//! What is wrong with a `release.toml`, and on which line.

use crate::document::line_of;
use crate::exit::{Exit, Explain};
use crate::spelling;

/// Where all keys stand.
const DOCUMENTED: [&str; 2] =
    [include_str!("../../docs/release-toml.md"), include_str!("../../docs/stages.md")];

/// A `release.toml` that cannot be used. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReleaseToml {
    /// Not TOML, or a value of the wrong kind.
    #[error("release.toml line {line}: {message}")]
    Shape {
        /// Where.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that means nothing.
    #[error("release.toml line {line}: unknown key `{key}`")]
    UnknownKey {
        /// Where.
        line: usize,
        /// The key with the sections that it is in.
        key: String,
    },
    /// A section that Cutover has only in later versions.
    #[error("release.toml line {line}: this version of Cutover does not know `{section}`")]
    Later {
        /// Where.
        line: usize,
        /// The section as it is written.
        section: &'static str,
    },
    /// A value of the right kind that cannot be meant.
    #[error("release.toml line {line}: {key} {why}")]
    Value {
        /// Where.
        line: usize,
        /// The key with the sections that it is in.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Explain for InvalidReleaseToml {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        let mut hints = match self {
            Self::Later { .. } => {
                vec!["update Cutover on this machine, or leave the section out".to_owned()]
            }
            Self::UnknownKey { key, .. } => spelling::perhaps(key, "release.toml", &DOCUMENTED),
            Self::Shape { .. } | Self::Value { .. } => Vec::new(),
        };
        hints.push("nothing was released; release-toml.md describes every key".to_owned());
        hints
    }
}

/// Turns the parser's error into ours.
pub(super) fn shape(text: &str) -> impl Fn(toml::de::Error) -> InvalidReleaseToml {
    |error| InvalidReleaseToml::Shape {
        line: line_of(text, error.span()),
        message: error.message().trim().replace('\n', ", "),
    }
}
