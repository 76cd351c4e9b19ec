//! `send-headers`: fields that a question over HTTP carries beside those that it always has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Fields by name. Each is one that a question without a body may have, with a value of printable ASCII.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct SendHeaders(BTreeMap<String, String>);

/// A field that a question cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSendHeader {
    /// Its name is none.
    #[error("`{0}` is no name of a header")]
    Name(String),
    /// It belongs to the connection or to a body.
    #[error("`{0}` cannot be set: it says how the request itself is sent")]
    Framing(String),
    /// Its value cannot stand in a header.
    #[error("the value of `{0}` is not printable ASCII")]
    Value(String),
    /// Names do not differ by case.
    #[error("`{0}` is there twice")]
    Twice(String),
}

/// What is said of the connection and of a body, neither of which is the asker's to choose.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

impl SendHeaders {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }
}

impl TryFrom<BTreeMap<String, String>> for SendHeaders {
    type Error = InvalidSendHeader;

    fn try_from(fields: BTreeMap<String, String>) -> Result<Self, InvalidSendHeader> {
        let mut names = Vec::with_capacity(fields.len());
        for (name, value) in &fields {
            let lower = name.to_ascii_lowercase();
            let letter =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(letter) {
                return Err(InvalidSendHeader::Name(name.clone()));
            }
            if FRAMING.contains(&&lower[..]) {
                return Err(InvalidSendHeader::Framing(name.clone()));
            }
            if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(InvalidSendHeader::Value(name.clone()));
            }
            if names.contains(&lower) {
                return Err(InvalidSendHeader::Twice(name.clone()));
            }
            names.push(lower);
        }
        Ok(Self(fields))
    }
}

impl From<SendHeaders> for BTreeMap<String, String> {
    fn from(headers: SendHeaders) -> Self {
        headers.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_question_can_carry_is_taken() {
        let parse = |fields: &[(&str, &str)]| {
            let owned = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            SendHeaders::try_from(owned.collect::<BTreeMap<String, String>>())
        };
        assert!(parse(&[("Host", "site.example:80"), ("X-Token", "")]).is_ok());
        for bad in [
            &[("", "a")][..],
            &[("a b", "a")],
            &[("Content-Length", "1")],
            &[("x", "a\r\nb: c")],
            &[("Host", "a"), ("host", "b")],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
