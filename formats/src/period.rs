//! Lengths of time as people write them: `30s`, `10m`, `1h 30m`, `250ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A hundred years: no clock's end is ever reached from now on, whatever somebody writes.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A length of time, from zero to a hundred years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(Duration);

/// Not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time such as `30s`, `10m` or `1h 30m`")]
pub struct InvalidPeriod(String);

impl Period {
    /// This many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// This many thousandths of a second.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let parsed: Option<jiff::SignedDuration> = text.parse().ok();
        parsed
            .and_then(|signed| Duration::try_from(signed).ok())
            .filter(|length| *length <= LONGEST)
            .map(Self)
            .ok_or_else(|| InvalidPeriod(text.to_owned()))
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidPeriod;

    fn try_from(text: String) -> Result<Self, InvalidPeriod> {
        text.parse()
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond what jiff can hold (292 billion years) only by a literal nobody writes.
        let signed = jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX);
        write!(f, "{signed:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, millis) in [("30s", 30_000), ("10m", 600_000), ("250ms", 250), ("0s", 0)] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.as_duration(), Duration::from_millis(millis));
            assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }
        for bad in ["", "30", "-5s", "soon", "900000h", "9000000000000000000s"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
