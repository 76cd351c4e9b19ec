//! `[inputs]`: what the node gives for the inputs that releases declare.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::input::Value;
use crate::period::Period;

/// What the node gives for one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, a whole number, true or false, a list of texts, \
        { file = \"…\" } or { command = [\"…\"] }"
)]
pub enum Given {
    /// A value, for everybody to read.
    Plain(Value),
    /// Where a secret is to be had.
    Secret(SecretSource),
}

/// Where a secret is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub enum SecretSource {
    /// In a file: absolute, or relative to `<root>/shared`.
    File(PathBuf),
    /// From a command that prints it.
    Command {
        /// The program and its arguments; no shell.
        command: Vec<String>,
        /// How long it may take.
        timeout: Period,
    },
}

/// How long a command may take where nothing is said.
const TIMEOUT: Period = Period::seconds(30);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Period>,
}

/// A source that names neither a file nor a command, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is {{ file = \"…\" }} or {{ command = [\"…\"], timeout = \"30s\" }}")]
pub struct InvalidSource;

impl TryFrom<Raw> for SecretSource {
    type Error = InvalidSource;

    fn try_from(raw: Raw) -> Result<Self, InvalidSource> {
        let Raw { file, command, timeout } = raw;
        let named = command.first().is_some_and(|program| !program.is_empty());
        match (file, timeout) {
            (Some(file), None) if command.is_empty() && !file.as_os_str().is_empty() => {
                Ok(Self::File(file))
            }
            (None, timeout) if named => {
                Ok(Self::Command { command, timeout: timeout.unwrap_or(TIMEOUT) })
            }
            _ => Err(InvalidSource),
        }
    }
}

impl From<SecretSource> for Raw {
    fn from(source: SecretSource) -> Self {
        match source {
            SecretSource::File(file) => {
                Self { file: Some(file), command: Vec::new(), timeout: None }
            }
            SecretSource::Command { command, timeout } => {
                Self { file: None, command, timeout: Some(timeout) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn given(value: &str) -> Result<Given, String> {
        let table = toml::from_str::<BTreeMap<String, Given>>(&format!("x = {value}"));
        table.map(|mut table| table.remove("x").unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_and_sources_of_secrets() {
        for (text, expected) in [
            ("4", Given::Plain(Value::Integer(4))),
            ("'a'", Given::Plain(Value::Text("a".to_owned()))),
            ("['a']", Given::Plain(Value::List(vec!["a".to_owned()]))),
            ("{ file = '/x' }", Given::Secret(SecretSource::File("/x".into()))),
            (
                "{ command = ['a', 'b'] }",
                Given::Secret(SecretSource::Command {
                    command: vec!["a".to_owned(), "b".to_owned()],
                    timeout: TIMEOUT,
                }),
            ),
        ] {
            assert_eq!(given(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "1.5",
            "[1]",
            "{}",
            "{ file = '' }",
            "{ file = '/x', command = ['a'] }",
            "{ command = [] }",
            "{ command = [''] }",
            "{ file = '/x', timeout = '1s' }",
            "{ command = ['a'], timeout = 3 }",
            "{ value = 'x' }",
        ] {
            let error = given(text).unwrap_err();
            assert!(error.contains("{ file = \"…\" } or { command = [\"…\"] }"), "{text}: {error}");
        }
    }
}
