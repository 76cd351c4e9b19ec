//! How a service is asked to end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a service is sent first when it is to end; SIGKILL follows after its `drain`.
///
/// Only signals that programs take for "end": those that stop, go on with or report are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StopSignal {
    /// The usual one.
    #[default]
    Term,
    /// As Ctrl-C; for some servers the faster way (PostgreSQL), for others the patient one (lighttpd).
    Int,
    /// nginx, PHP-FPM and uWSGI take it for their own way to end.
    Quit,
    /// For programs that were written for a terminal.
    Hup,
    /// HAProxy's patient way.
    Usr1,
    /// For programs that say so.
    Usr2,
    /// Apache's patient way.
    Winch,
    /// At once, for a service that has nothing to finish once its requests are answered.
    Kill,
}

/// Not a signal that ends a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a signal that ends a service: TERM, INT, QUIT, HUP, USR1, USR2, WINCH or KILL"
)]
pub struct InvalidStopSignal(String);

impl StopSignal {
    const ALL: [Self; 8] = [
        Self::Term,
        Self::Int,
        Self::Quit,
        Self::Hup,
        Self::Usr1,
        Self::Usr2,
        Self::Winch,
        Self::Kill,
    ];

    /// Its name without `SIG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Hup => "HUP",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Winch => "WINCH",
            Self::Kill => "KILL",
        }
    }

    /// Whether it is what a service gets of which nothing is said.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}

/// `TERM` as well as `SIGTERM`, as systemd reads `KillSignal=`.
impl FromStr for StopSignal {
    type Err = InvalidStopSignal;

    fn from_str(text: &str) -> Result<Self, InvalidStopSignal> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        let found = Self::ALL.into_iter().find(|signal| signal.name() == name);
        found.ok_or_else(|| InvalidStopSignal(text.to_owned()))
    }
}

impl TryFrom<String> for StopSignal {
    type Error = InvalidStopSignal;

    fn try_from(text: String) -> Result<Self, InvalidStopSignal> {
        text.parse()
    }
}

impl From<StopSignal> for String {
    fn from(signal: StopSignal) -> Self {
        signal.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_systemds() {
        for signal in StopSignal::ALL {
            assert_eq!(signal.name().parse(), Ok(signal));
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
        for text in ["", "SIG", "term", "sigterm", "SIGSIGTERM", " TERM", "15", "STOP", "RTMIN+3"] {
            let refused = text.parse::<StopSignal>().unwrap_err().to_string();
            assert!(refused.starts_with(&format!("`{text}` is not a signal")), "{refused}");
        }
    }
}
