//! Command lines: for a shell, or word by word.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What to run. `{prefix}` and its like are filled in on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// A text for `sh -c`. What is filled in must need no quoting.
    Shell(String),
    /// The program and its arguments, without a shell; anything may be filled in.
    Words(Vec<String>),
}

impl CommandLine {
    /// Everything that is written in it.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Shell(text) => std::slice::from_ref(text),
            Self::Words(words) => words,
        }
        .iter()
        .map(String::as_str)
    }
}

/// As it is written.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(text) => f.write_str(text),
            Self::Words(words) => f.write_str(&words.join(" ")),
        }
    }
}

impl Serialize for CommandLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Shell(text) => serializer.serialize_str(text),
            Self::Words(words) => words.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Command)
    }
}

struct Command;

impl<'de> Visitor<'de> for Command {
    type Value = CommandLine;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command line, or a list of words")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CommandLine, E> {
        if text.trim().is_empty() || text.contains('\0') {
            return Err(E::custom("a command line must name a program"));
        }
        Ok(CommandLine::Shell(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<CommandLine, A::Error> {
        let mut words: Vec<String> = Vec::new();
        while let Some(word) = seq.next_element()? {
            words.push(word);
        }
        let nul = words.iter().any(|word| word.contains('\0'));
        if nul || words.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(de::Error::custom("a command line must name a program"));
        }
        Ok(CommandLine::Words(words))
    }
}
