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
    use std::cmp::Ordering;

    use proptest::prelude::*;

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

    /// A version as Semantic Versioning writes it, by its parts.
    fn version() -> impl Strategy<Value = Version> {
        let number = prop_oneof![0_u64..20, Just(u64::MAX)];
        let tail = "([0a-z]|[1-9][0-9]{0,2}|rc|[0-9]*[a-z-][0-9a-z-]{0,3})(\\.(0|[1-9][0-9]?|[a-z]{1,2})){0,2}";
        (
            number.clone(),
            number.clone(),
            number,
            prop::option::of(tail),
            prop::option::of("[0-9a-z]{1,3}"),
        )
            .prop_map(|(major, minor, patch, pre, build)| {
                let pre = pre.map_or_else(String::new, |pre| format!("-{pre}"));
                let build = build.map_or_else(String::new, |build| format!("+{build}"));
                format!("{major}.{minor}.{patch}{pre}{build}")
            })
            .prop_filter_map("it is a version", |text| text.parse().ok())
    }

    /// The order of the specification (11.2 to 11.4), in its words.
    fn specified(a: &Version, b: &Version) -> Ordering {
        let numbers = |v: &Version| (v.major, v.minor, v.patch);
        let pre = |v: &Version| v.pre.as_str().to_owned();
        numbers(a).cmp(&numbers(b)).then_with(|| match (pre(a), pre(b)) {
            (a, b) if a == b => Ordering::Equal,
            (a, _) if a.is_empty() => Ordering::Greater,
            (_, b) if b.is_empty() => Ordering::Less,
            (a, b) => {
                let pairs = a.split('.').zip(b.split('.'));
                let differing = pairs.map(|(a, b)| match (a.parse::<u64>(), b.parse::<u64>()) {
                    (Ok(a), Ok(b)) => a.cmp(&b),
                    (Ok(_), Err(_)) => Ordering::Less,
                    (Err(_), Ok(_)) => Ordering::Greater,
                    (Err(_), Err(_)) => a.cmp(b),
                });
                let first = differing.into_iter().find(|order| order.is_ne());
                first.unwrap_or_else(|| a.split('.').count().cmp(&b.split('.').count()))
            }
        })
    }

    proptest! {
        #[test]
        fn versions_have_the_order_of_the_specification(a in version(), b in version()) {
            prop_assert_eq!(a.cmp_precedence(&b), specified(&a, &b), "{} {}", a, b);
            // That of lists is total, and differs only where the build does.
            prop_assert_eq!(a.cmp(&b).reverse(), b.cmp(&a));
            prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
            if specified(&a, &b).is_ne() {
                prop_assert_eq!(a.cmp(&b), specified(&a, &b));
            }
        }

        #[test]
        fn versions_are_read_as_written(a in version()) {
            prop_assert_eq!(a.to_string().parse::<Version>().ok(), Some(a.clone()));
            prop_assert_eq!(TagPattern::default().version(&format!("v{a}")), Ok(a));
        }
    }
}
