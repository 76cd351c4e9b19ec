//! What came back, counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

/// One question and how it ended.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who asked, e.g. `upload`.
    pub client: &'static str,
    /// When it was asked.
    pub began: Instant,
    /// How long it took to its end.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By a good and whole answer.
    Served {
        /// Of this release.
        version: String,
        /// It told of a swap to come.
        announced: bool,
    },
    /// By 503 with `Retry-After`.
    Refused,
    /// A WebSocket's service went away; that is all that can be done with one.
    Parted,
    /// By anything else: broken off, refused connections, other statuses, wrong contents.
    Failed(String),
}

/// What came back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Questions asked.
    pub requests: u64,
    /// Good answers, by the release that the gate says gave them.
    pub served: BTreeMap<String, u64>,
    /// 503 with `Retry-After`: declared.
    pub refused: u64,
    /// WebSockets whose service went away.
    pub parted: u64,
    /// Anything else.
    pub failed: u64,
    /// What the first few failures were.
    pub failures: Vec<String>,
    /// Milliseconds that the slowest answer took.
    pub slowest_ms: u64,
    /// Good answers that announced a swap with `X-Backoff`.
    pub announced: u64,
}

impl Tally {
    /// Of these events.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut tally = Self::default();
        events.into_iter().for_each(|event| tally.count(event));
        tally
    }

    fn count(&mut self, event: &Event) {
        const KEPT: usize = 5;
        self.requests += 1;
        let took = u64::try_from(event.took.as_millis()).unwrap_or(u64::MAX);
        self.slowest_ms = self.slowest_ms.max(took);
        match &event.outcome {
            Outcome::Served { version, announced } => {
                *self.served.entry(version.clone()).or_default() += 1;
                self.announced += u64::from(*announced);
            }
            Outcome::Refused => self.refused += 1,
            Outcome::Parted => self.parted += 1,
            Outcome::Failed(why) => {
                self.failed += 1;
                if self.failures.len() < KEPT {
                    self.failures.push(format!("{}: {why}", event.client));
                }
            }
        }
    }
}

/// The `hundredths`th percentile of these times, if there are any.
#[must_use]
pub fn percentile(mut times: Vec<Duration>, hundredths: usize) -> Option<Duration> {
    times.sort();
    times.get((times.len().saturating_sub(1)) * hundredths / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times: Vec<_> = (1..=101).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(times.clone(), 50), Some(Duration::from_millis(51)));
        assert_eq!(percentile(times, 99), Some(Duration::from_millis(100)));
        assert_eq!(percentile(Vec::new(), 50), None);
    }
}
