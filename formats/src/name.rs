//! Names of products, channels and stages.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of either kind, so that a name plus a version always fits a file name.
const LONGEST: usize = 64;

/// A name that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a {what} name: {rule}")]
pub struct InvalidName {
    what: &'static str,
    name: String,
    rule: &'static str,
}

const RULE: &str = "it takes a-z, 0-9, '.', '_' and '-', begins with a letter or digit, and has at most 64 of them";

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    text.len() <= LONGEST
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                if is_name(&name) {
                    Ok(Self(name))
                } else {
                    Err(InvalidName { what: $what, name, rule: RULE })
                }
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// What is released: `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
    Product, "product"
}

name! {
    /// A signed pointer to a release, e.g. `stable`; names that begin with `b.` belong to branches
    /// and share one signing role.
    Channel, "channel"
}

name! {
    /// A step of an install, e.g. `unpack` or `migrate`.
    StageName, "stage"
}

impl Channel {
    /// Whether the channel belongs to a branch (`b.<name>`): it comes and goes under the one
    /// `branches` role, without an offline key.
    #[must_use]
    pub fn is_branch(&self) -> bool {
        self.0.starts_with("b.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["weave", "a", "0", "a.b_c-d", "b.feature-1"] {
            assert!(good.parse::<Product>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "_a", "A", "a b", "a/b", "ä", "a\0", &"a".repeat(65)] {
            assert!(bad.parse::<Product>().is_err(), "{bad}");
        }
    }
}
