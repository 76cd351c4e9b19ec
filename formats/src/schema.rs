//! `[schema]`: which versions of its database a release is at home with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::StageName;
use crate::period::Period;
use crate::stage::CommandLine;

/// What a release says of its database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Schema {
    /// The schema that the release was made for.
    pub version: u64,
    /// The schemas that it works with; where it is missing, only its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts: Option<Accepts>,
    /// The stage that brings the schema forward, if there is one of that name.
    #[serde(default = "migrate", skip_serializing_if = "is_migrate")]
    pub migrate: StageName,
}

fn migrate() -> StageName {
    "migrate".parse().expect("a constant name")
}

fn is_migrate(name: &StageName) -> bool {
    *name == migrate()
}

impl Schema {
    /// Whether the release works with a database at `version`.
    #[must_use]
    pub fn takes(&self, version: u64) -> bool {
        match &self.accepts {
            Some(accepts) => accepts.contains(version),
            None => version == self.version,
        }
    }

    /// What it works with, for people.
    #[must_use]
    pub fn accepted(&self) -> String {
        match &self.accepts {
            Some(accepts) => accepts.to_string(),
            None => format!("={}", self.version),
        }
    }
}

/// `[schema]` of a node: how the database is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeSchema {
    /// Prints the version of the database's schema, a whole number, and nothing else.
    pub command: CommandLine,
    /// How long it may take.
    #[serde(default = "patience")]
    pub timeout: Period,
}

fn patience() -> Period {
    Period::seconds(30)
}

/// Which schema versions: comparisons that must all hold, e.g. `>=41, <43`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Accepts(Vec<(Comparison, u64)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Exactly,
}

/// In the order in which a prefix is looked for.
const SIGNS: [(&str, Comparison); 5] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::Above),
    ("<", Comparison::Below),
    ("=", Comparison::Exactly),
];

/// Not a range of schema versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a range of schema versions such as `>=41, <43` or `42`")]
pub struct InvalidAccepts(String);

impl Accepts {
    /// Whether `version` is one of them.
    #[must_use]
    pub fn contains(&self, version: u64) -> bool {
        self.0.iter().all(|(comparison, bound)| match comparison {
            Comparison::AtLeast => version >= *bound,
            Comparison::AtMost => version <= *bound,
            Comparison::Above => version > *bound,
            Comparison::Below => version < *bound,
            Comparison::Exactly => version == *bound,
        })
    }
}

impl FromStr for Accepts {
    type Err = InvalidAccepts;

    fn from_str(text: &str) -> Result<Self, InvalidAccepts> {
        let parse = |part: &str| {
            let part = part.trim();
            let signed = SIGNS.into_iter().find_map(|(sign, comparison)| {
                part.strip_prefix(sign).map(|rest| (comparison, rest.trim()))
            });
            let (comparison, number) = signed.unwrap_or((Comparison::Exactly, part));
            Some((comparison, number.parse().ok()?))
        };
        let parts: Option<Vec<_>> = text.split(',').map(parse).collect();
        parts.map(Self).ok_or_else(|| InvalidAccepts(text.to_owned()))
    }
}

impl TryFrom<String> for Accepts {
    type Error = InvalidAccepts;

    fn try_from(text: String) -> Result<Self, InvalidAccepts> {
        text.parse()
    }
}

impl From<Accepts> for String {
    fn from(accepts: Accepts) -> Self {
        accepts.to_string()
    }
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (comparison, bound)) in self.0.iter().enumerate() {
            let sign = SIGNS.iter().find(|(_, it)| it == comparison).map_or("", |(sign, _)| sign);
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{sign}{bound}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, inside, outside) in [
            (">=41, <43", [41, 42], [40, 43]),
            ("42", [42, 42], [41, 43]),
            (">1,<=3", [2, 3], [1, 4]),
            ("= 7", [7, 7], [6, 8]),
        ] {
            let accepts: Accepts = text.parse().unwrap();
            assert!(inside.iter().all(|version| accepts.contains(*version)), "{text}");
            assert!(!outside.iter().any(|version| accepts.contains(*version)), "{text}");
            assert_eq!(accepts.to_string().parse::<Accepts>().unwrap(), accepts);
        }
        for bad in ["", "x", ">=", "1,", "-1", "1.2", "~4"] {
            assert!(bad.parse::<Accepts>().is_err(), "{bad}");
        }
    }
}
