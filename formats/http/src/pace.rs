//! How fast a client has to be.

use std::time::Duration;

/// What is asked of every client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a client may keep the server waiting, beyond what it makes good again.
    pub patience: Duration,
    /// What it has to take or send on average while it is waited for, bytes a second.
    pub rate: u64,
}

/// The time that a client has left. Waiting for it uses it up, and every byte that moves gives some
/// back, but never more than there was at first: who was fast for an hour may not fall silent for one.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rules: Rules,
    left: Duration,
}

impl Pace {
    /// A client that was not waited for yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, left: rules.patience }
    }

    /// How much longer it may be waited for.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.left
    }

    /// It was waited for so long, and then so many bytes moved.
    pub fn moved(&mut self, waited: Duration, bytes: usize) {
        let made_good = Duration::from_secs_f64(bytes as f64 / self.rules.rate.max(1) as f64);
        self.left = self.left.saturating_sub(waited).saturating_add(made_good);
        self.left = self.left.min(self.rules.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_a_minute_is_not_enough() {
        let second = Duration::from_secs(1);
        let rules = Rules { patience: 60 * second, rate: 1024 };
        let mut pace = Pace::new(rules);
        for _ in 0..6 {
            pace.moved(10 * second, 1);
        }
        assert!(pace.left() < second);
        let mut pace = Pace::new(rules);
        for _ in 0..1000 {
            pace.moved(10 * second, 10 * 1024);
        }
        assert_eq!(pace.left(), 60 * second);
        pace.moved(59 * second, 0);
        pace.moved(Duration::ZERO, 1 << 30);
        assert_eq!(pace.left(), 60 * second);
        pace.moved(100 * second, 0);
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
