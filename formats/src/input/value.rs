//! Types of inputs, and values.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most characters of a value that a message repeats.
const SHOWN: usize = 60;

/// What an input must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any text.
    #[default]
    String,
    /// A whole number of 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// Texts, in order.
    List,
    /// A TCP or UDP port.
    Port,
    /// `scheme://…`, in one word.
    Url,
}

impl Kind {
    /// What is expected, for people.
    #[must_use]
    pub fn wants(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::List => "a list of texts",
            Self::Port => "a port from 1 to 65535",
            Self::Url => "a URL such as https://example.org/",
        }
    }

    /// Whether `value` is one of these.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::String, Value::Text(_))
            | (Self::Integer, Value::Integer(_))
            | (Self::Boolean, Value::Boolean(_))
            | (Self::List, Value::List(_)) => true,
            (Self::Port, Value::Integer(port)) => (1..=65535).contains(port),
            (Self::Url, Value::Text(url)) => self.accepts_text(url),
            _ => false,
        }
    }

    /// Whether `text` is one of these; for secrets, which are text.
    #[must_use]
    pub fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::String => true,
            Self::Url => is_url(text),
            Self::Integer | Self::Boolean | Self::List | Self::Port => false,
        }
    }
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(in_scheme)
        && !rest.is_empty()
        && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Port => "port",
            Self::Url => "url",
        })
    }
}

/// A value that is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, a whole number, true or false, or a list of texts")]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Texts.
    List(Vec<String>),
}

impl Value {
    /// What it is, for messages about what it should be; a long one is cut.
    #[must_use]
    pub fn described(&self) -> String {
        let cut = |text: &str| match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{:?}…", &text[..end]),
            None => format!("{text:?}"),
        };
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(text) => format!("the text {}", cut(text)),
            Self::List(texts) => format!("a list of {}", texts.len()),
        }
    }
}

/// As tables show it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(texts) => f.write_str(&texts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 6] =
        [Kind::String, Kind::Integer, Kind::Boolean, Kind::List, Kind::Port, Kind::Url];

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Integer),
            (0_i64..70_000).prop_map(Value::Integer),
            ".{0,80}".prop_map(Value::Text),
            "[a-z]{1,5}://[a-z/]{0,9}".prop_map(Value::Text),
            proptest::collection::vec(".{0,9}", 0..4).prop_map(Value::List),
        ]
    }

    #[test]
    fn addresses() {
        for good in ["https://example.org", "postgres://a@b/c", "git+ssh://x", "unix:///run/x"] {
            assert!(Kind::Url.accepts_text(good), "{good}");
        }
        for bad in ["", "example.org", "://x", "http://", "1a://x", "http://a b", "http://a\n"] {
            assert!(!Kind::Url.accepts_text(bad), "{bad}");
        }
    }

    proptest! {
        /// A value means the same in TOML, in JSON and in memory, and has at most the types that
        /// its shape allows.
        #[test]
        fn values_stay_what_they_are(value in value()) {
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(&json).unwrap(), &value);
            let table = std::collections::BTreeMap::from([("x", &value)]);
            let toml = toml::to_string(&table).unwrap();
            let again: std::collections::BTreeMap<String, Value> = toml::from_str(&toml).unwrap();
            prop_assert_eq!(&again["x"], &value);
            let accepting: Vec<Kind> = KINDS.into_iter().filter(|kind| kind.accepts(&value)).collect();
            let shapes: &[Kind] = match &value {
                Value::Boolean(_) => &[Kind::Boolean],
                Value::Integer(_) => &[Kind::Integer, Kind::Port],
                Value::Text(_) => &[Kind::String, Kind::Url],
                Value::List(_) => &[Kind::List],
            };
            prop_assert!(accepting.contains(&shapes[0]));
            prop_assert!(accepting.iter().all(|kind| shapes.contains(kind)));
        }
    }
}
