//! Whether programs that run for long stay as they are: what they hold, sampled, and its trend.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::world::Run;

/// What is sampled over time.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is, e.g. `gate: memory, KiB`.
    pub name: String,
    /// How much it may grow from the first to the last sample, by its trend, beyond a tenth of itself.
    pub slack: f64,
    samples: Vec<(Duration, f64)>,
}

impl Series {
    /// Without a sample yet.
    #[must_use]
    pub fn new(name: impl Into<String>, slack: f64) -> Self {
        Self { name: name.into(), slack, samples: Vec::new() }
    }

    /// One more sample, taken so long after the beginning.
    pub fn add(&mut self, at: Duration, value: f64) {
        self.samples.push((at, value));
    }

    /// By how much it grew between its first and its last sample, by the straight line that fits best.
    /// The first quarter does not count: programs take what they need when they first need it.
    #[must_use]
    pub fn growth(&self) -> f64 {
        let settled = &self.samples[self.samples.len() / 4..];
        let [(first, _), .., (last, _)] = settled else { return 0.0 };
        let count = settled.len() as f64;
        let mean = |of: fn(&(Duration, f64)) -> f64| settled.iter().map(of).sum::<f64>() / count;
        let (time, value) = (mean(|sample| sample.0.as_secs_f64()), mean(|sample| sample.1));
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (at, found) in settled {
            let off = at.as_secs_f64() - time;
            covariance += off * (found - value);
            variance += off * off;
        }
        if variance > 0.0 { covariance / variance * (*last - *first).as_secs_f64() } else { 0.0 }
    }

    /// Whether it grows.
    #[must_use]
    pub fn grows(&self) -> bool {
        let values = self.samples.iter().map(|sample| sample.1);
        let mean = values.sum::<f64>() / self.samples.len().max(1) as f64;
        self.growth() > mean * 0.1 + self.slack
    }

    /// The heading over [`Series::row`].
    #[must_use]
    pub fn heading() -> String {
        format!("{:<32}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "first", "last", "least", "most", "trend")
    }

    /// The series in a line.
    #[must_use]
    pub fn row(&self) -> String {
        let values = || self.samples.iter().map(|sample| sample.1);
        let (first, last) = (values().next(), values().next_back());
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
        let [first, last] = [first, last].map(Option::unwrap_or_default);
        let (name, growth) = (&self.name, self.growth());
        format!("{name:<32}{first:>9.0}{last:>9.0}{least:>9.0}{most:>9.0}{growth:>+9.1}")
    }
}

/// Memory in KiB, open files and threads of a process.
///
/// # Panics
/// Where there is no such process.
#[must_use]
pub fn holds(pid: u32) -> [f64; 3] {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.and_then(|word| word.parse().ok()).expect("the kernel says it")
    };
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours").count();
    [number("VmRSS:"), files as f64, number("Threads:")]
}

/// KiB below a node's root, but for what is kept of every install for ever.
///
/// # Panics
/// Where `du` fails.
#[must_use]
pub fn disk(root: &Path) -> f64 {
    let mut du = Command::new("du");
    du.args(["-sk", "--exclude=receipts", "--exclude=history.jsonl"]).arg(root);
    // A file may go while it is counted, which makes its status 1.
    let counted = Run::of(&mut du).stdout;
    let word = counted.split_whitespace().next();
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("du said: {counted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(value: impl Fn(u64) -> f64) -> Series {
        let mut series = Series::new("x", 5.0);
        (0..100).for_each(|second| series.add(Duration::from_secs(second), value(second)));
        series
    }

    #[test]
    fn noise_is_no_trend_and_a_leak_is() {
        let noisy = series(|second| if second % 3 == 0 { 120.0 } else { 100.0 });
        assert!(!noisy.grows(), "{}", noisy.growth());
        let warming = series(|second| (second * 50).min(1000) as f64);
        assert!(!warming.grows(), "{}", warming.growth());
        let leaking = series(|second| 100.0 + second as f64);
        assert!((leaking.growth() - 74.0).abs() < 1.0 && leaking.grows(), "{}", leaking.growth());
    }
}
