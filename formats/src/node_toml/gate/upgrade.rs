//! `upgrades`: what a client's connection may become.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The name of a protocol, such as `websocket`, compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Upgrade(String);

/// No protocol that connections may become.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a protocol that connections may become, such as `websocket`{why}", why = why(.0))]
pub struct InvalidUpgrade(String);

fn why(name: &str) -> &'static str {
    match is_http(name) {
        true => ": its requests would pass the gate without being seen",
        false => "",
    }
}

fn is_http(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["h2", "h2c", "h3"].contains(&&name[..]) || name.starts_with("http/")
}

impl Upgrade {
    /// WebSockets.
    #[must_use]
    pub fn websocket() -> Self {
        Self("websocket".to_owned())
    }

    /// Whether a client that says `name` means this one.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Upgrade {
    type Err = InvalidUpgrade;

    fn from_str(name: &str) -> Result<Self, InvalidUpgrade> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+/".contains(&byte);
        match !name.is_empty() && name.bytes().all(letter) && !is_http(name) {
            true => Ok(Self(name.to_owned())),
            false => Err(InvalidUpgrade(name.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Upgrade {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_does_not_become_http() {
        assert!("SPDY/3.1".parse::<Upgrade>().is_ok());
        assert!(Upgrade::websocket().is("WebSocket"));
        for bad in ["", "a b", "a, b", "h2c", "H2C", "HTTP/2.0"] {
            assert!(bad.parse::<Upgrade>().is_err(), "{bad}");
        }
    }
}
