//! Inputs: what a release asks its node for, declared and typed, to be put into its
//! [templates](crate::template).
//!
//! A release declares them (`[inputs.<name>]` in `release.toml`, `inputs` in the descriptor), a node
//! gives them (`[inputs]` in `node.toml`). A secret is never declared with a default and never given
//! as such: the node says where it is to be had.

mod value;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use value::{Kind, Value};

/// The inputs that every template has, whatever a release declares.
pub const BUILT_IN: [&str; 4] = ["prefix", "product", "root", "version"];

/// Words of the template language, and what it defines itself.
const RESERVED: [&str; 20] = [
    "and",
    "caller",
    "debug",
    "dict",
    "else",
    "false",
    "if",
    "in",
    "is",
    "loop",
    "namespace",
    "none",
    "not",
    "null",
    "or",
    "range",
    "recursive",
    "self",
    "super",
    "true",
];

/// Longest name, bytes.
const LONGEST: usize = 64;

/// Longest description, bytes.
const LONGEST_DESCRIPTION: usize = 1000;

/// What an input is called: `[a-z][a-z0-9_]*`, at most 64 of them, as templates can say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InputName(String);

/// A name that no input can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a name of an input: {why}")]
pub struct InvalidInputName {
    name: String,
    why: &'static str,
}

impl InputName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InputName {
    type Error = InvalidInputName;

    fn try_from(name: String) -> Result<Self, InvalidInputName> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let why = if name.len() > LONGEST
            || !name.bytes().all(allowed)
            || !name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        {
            "it takes a-z, 0-9 and '_', begins with a letter, and has at most 64 of them"
        } else if BUILT_IN.contains(&name.as_str()) {
            "every template has one of this name already"
        } else if RESERVED.contains(&name.as_str()) {
            "the template language has this word for itself"
        } else {
            return Ok(Self(name));
        };
        Err(InvalidInputName { name, why })
    }
}

impl FromStr for InputName {
    type Err = InvalidInputName;

    fn from_str(name: &str) -> Result<Self, InvalidInputName> {
        Self::try_from(name.to_owned())
    }
}

impl From<InputName> for String {
    fn from(name: InputName) -> String {
        name.0
    }
}

impl Borrow<str> for InputName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An input, as a release declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Input {
    /// What it must be.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it is where the node says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether an install is refused where there is neither a default nor a value of the node's.
    pub required: bool,
    /// Whether it is shown nowhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// For whoever gives it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    #[serde(rename = "type", default)]
    kind: Kind,
    default: Option<Value>,
    #[serde(default = "yes")]
    required: bool,
    #[serde(default)]
    secret: bool,
    #[serde(default)]
    description: String,
}

fn yes() -> bool {
    true
}

/// An input that cannot be meant as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInput {
    /// The default is something else than is asked for.
    #[error("the default of an input is {found}, where {wants} is wanted")]
    Default {
        /// What the type asks for.
        wants: &'static str,
        /// What stands there.
        found: String,
    },
    /// A secret in a release would be none.
    #[error("a secret input has no default: everybody can read it in the release")]
    SecretDefault,
    /// Secrets come from files and commands, as text.
    #[error("a secret input is of type `string` or `url`")]
    SecretKind,
    /// Too long, or not one line.
    #[error("the description of an input is one line of at most {LONGEST_DESCRIPTION} bytes")]
    Description,
}

impl TryFrom<Raw> for Input {
    type Error = InvalidInput;

    fn try_from(raw: Raw) -> Result<Self, InvalidInput> {
        let Raw { kind, default, required, secret, description } = raw;
        if secret && default.is_some() {
            return Err(InvalidInput::SecretDefault);
        }
        if secret && !matches!(kind, Kind::String | Kind::Url) {
            return Err(InvalidInput::SecretKind);
        }
        if let Some(value) = default.as_ref().filter(|value| !kind.accepts(value)) {
            return Err(InvalidInput::Default { wants: kind.wants(), found: value.described() });
        }
        if description.len() > LONGEST_DESCRIPTION || description.contains(char::is_control) {
            return Err(InvalidInput::Description);
        }
        Ok(Self { kind, default, required, secret, description })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(toml: &str) -> Result<Input, toml::de::Error> {
        toml::from_str(toml)
    }

    #[test]
    fn names() {
        for good in ["a", "db_password", "x1", "workers"] {
            assert!(good.parse::<InputName>().is_ok(), "{good}");
        }
        for (bad, word) in [
            ("", "a-z"),
            ("1a", "a-z"),
            ("_a", "a-z"),
            ("db-password", "a-z"),
            ("A", "a-z"),
            ("é", "a-z"),
            ("version", "already"),
            ("loop", "for itself"),
        ] {
            let error = bad.parse::<InputName>().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!("a".repeat(65).parse::<InputName>().is_err());
    }

    #[test]
    fn what_is_declared_and_what_cannot_be() {
        let plain = input("").unwrap();
        assert_eq!((plain.kind, plain.required, plain.secret), (Kind::String, true, false));
        let workers = input("type = 'integer'\ndefault = 4\ndescription = 'how many'").unwrap();
        assert_eq!(workers.default, Some(Value::Integer(4)));
        for (text, word) in [
            ("type = 'integer'\ndefault = '4'", "the text \"4\", where a whole number is wanted"),
            ("type = 'port'\ndefault = 0", "0, where a port from 1 to 65535 is wanted"),
            ("type = 'float'", "unknown variant `float`"),
            ("secret = true\ndefault = 'x'", "no default"),
            ("secret = true\ntype = 'integer'", "`string` or `url`"),
            ("default = 1.5", "a text, a whole number, true or false, or a list of texts"),
            ("description = 'a\\nb'\ndefault = 'x'", ""),
            ("description = \"a\\nb\"", "one line"),
        ] {
            match input(text) {
                Err(error) => assert!(error.message().contains(word), "{error}"),
                Ok(_) => assert_eq!(word, "", "{text}"),
            }
        }
    }

    #[test]
    fn the_descriptor_says_the_same() {
        for text in ["", "type = 'list'\ndefault = ['a']", "secret = true\nrequired = false"] {
            let input = input(text).unwrap();
            let json = serde_json::to_string(&input).unwrap();
            assert_eq!(serde_json::from_str::<Input>(&json).unwrap(), input, "{json}");
        }
    }
}
