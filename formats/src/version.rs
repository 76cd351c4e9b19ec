//! Versions and what people type for one.

use std::fmt;
use std::str::FromStr;

pub use semver::{Version, VersionReq};

use crate::name::{Channel, InvalidName};

/// How git tags name versions, e.g. `v{version}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern {
    before: String,
    after: String,
}

/// A tag, or a pattern for tags, that cannot be a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    /// The pattern has no `{version}`, or more than one.
    #[error("tag pattern `{0}` does not contain `{{version}}` exactly once")]
    Pattern(String),
    /// The tag does not fit the pattern.
    #[error("tag `{tag}` does not fit the pattern `{pattern}`")]
    Shape {
        /// The tag as given.
        tag: String,
        /// The pattern it was held against.
        pattern: String,
    },
    /// The tag fits the pattern but what it holds is no version.
    #[error("tag `{tag}` is no version: `{version}` is not Semantic Versioning 2.0 ({why})")]
    Version {
        /// The tag as given.
        tag: String,
        /// The part that should be a version.
        version: String,
        /// What the parser says.
        why: String,
    },
}

impl FromStr for TagPattern {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        match text.split("{version}").collect::<Vec<_>>()[..] {
            [before, after] => Ok(Self { before: before.to_owned(), after: after.to_owned() }),
            _ => Err(InvalidTag::Pattern(text.to_owned())),
        }
    }
}

impl Default for TagPattern {
    fn default() -> Self {
        Self { before: "v".to_owned(), after: String::new() }
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{version}}{}", self.before, self.after)
    }
}

impl TagPattern {
    /// The version that `tag` names.
    pub fn version(&self, tag: &str) -> Result<Version, InvalidTag> {
        let version = tag
            .strip_prefix(&self.before)
            .and_then(|rest| rest.strip_suffix(&self.after))
            .ok_or_else(|| InvalidTag::Shape { tag: tag.to_owned(), pattern: self.to_string() })?;
        version.parse().map_err(|error: semver::Error| InvalidTag::Version {
            tag: tag.to_owned(),
            version: version.to_owned(),
            why: error.to_string(),
        })
    }

    /// The tag that names `version`.
    #[must_use]
    pub fn tag(&self, version: &Version) -> String {
        format!("{}{version}{}", self.before, self.after)
    }
}

/// What an operator asks for: a version, a requirement or a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Exactly this version, e.g. `1.1.0`.
    Version(Version),
    /// The newest version that fits, e.g. `^1.0`.
    Requirement(VersionReq),
    /// Whatever the channel points at, e.g. `stable`.
    Channel(Channel),
}

impl FromStr for Wanted {
    type Err = InvalidName;

    /// A full version is a version; what begins like a comparison (`^ ~ = < > *` or a digit) is a
    /// requirement; the rest is a channel.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        match text.parse() {
            Ok(requirement) => Ok(Self::Requirement(requirement)),
            Err(_) => text.parse().map(Self::Channel),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Requirement(requirement) => requirement.fmt(f),
            Self::Channel(channel) => channel.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let pattern = TagPattern::default();
        assert_eq!(pattern.version("v1.2.3"), Ok(Version::new(1, 2, 3)));
        assert!(matches!(pattern.version("1.2.3"), Err(InvalidTag::Shape { .. })));
        assert!(matches!(pattern.version("v1.2"), Err(InvalidTag::Version { .. })));
        assert!("nothing".parse::<TagPattern>().is_err());
        assert!("{version}{version}".parse::<TagPattern>().is_err());
        let odd: TagPattern = "rel-{version}-final".parse().unwrap();
        assert_eq!(odd.version("rel-1.0.0-final"), Ok(Version::new(1, 0, 0)));
        assert_eq!(odd.tag(&Version::new(2, 0, 0)), "rel-2.0.0-final");
    }

    #[test]
    fn wanted() {
        assert!(matches!("1.1.0".parse(), Ok(Wanted::Version(_))));
        assert!(matches!("1.1.0-rc.1+x".parse(), Ok(Wanted::Version(_))));
        assert!(matches!("^1.0".parse(), Ok(Wanted::Requirement(_))));
        assert!(matches!(">=1, <2".parse(), Ok(Wanted::Requirement(_))));
        assert!(matches!("1".parse(), Ok(Wanted::Requirement(_))));
        assert!(matches!("stable".parse(), Ok(Wanted::Channel(_))));
        assert!("Not A Thing".parse::<Wanted>().is_err());
    }
}
