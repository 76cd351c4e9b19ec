//! Progress of what takes longer than a second.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Nothing is shown before this has passed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Without a terminal, at most one line in this time.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// A bar on a terminal, a plain line now and then elsewhere. Shared between threads.
pub struct Progress {
    label: String,
    unit: Unit,
    total: u64,
    done: AtomicU64,
    started: Instant,
    bar: Option<ProgressBar>,
    /// Milliseconds after `started` at which the next plain line is due.
    next_line: AtomicU64,
}

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Items,
    Counted,
}

impl Progress {
    /// Counts bytes.
    #[must_use]
    pub fn bytes(label: &str, total: u64) -> Self {
        Self::new(label, total, Unit::Bytes)
    }

    /// Counts things.
    #[must_use]
    pub fn items(label: &str, total: u64) -> Self {
        Self::new(label, total, Unit::Items)
    }

    /// Counts bytes where nobody knows how many there will be.
    #[must_use]
    pub fn counting(label: &str) -> Self {
        Self::new(label, 0, Unit::Counted)
    }

    fn new(label: &str, total: u64, unit: Unit) -> Self {
        Self {
            label: label.to_owned(),
            unit,
            total,
            done: AtomicU64::new(0),
            started: Instant::now(),
            bar: std::io::stderr().is_terminal().then(|| bar(label, total, unit)),
            next_line: AtomicU64::new(millis(PATIENCE)),
        }
    }

    /// This much more is done.
    pub fn add(&self, amount: u64) {
        let mut done = self.done.fetch_add(amount, Ordering::Relaxed) + amount;
        if !matches!(self.unit, Unit::Counted) {
            // What is begun again elsewhere is counted again.
            done = done.min(self.total);
        }
        let elapsed = self.started.elapsed();
        match &self.bar {
            Some(bar) if elapsed >= PATIENCE => bar.set_position(done),
            Some(_) => {}
            None => self.line_when_due(done, millis(elapsed)),
        }
    }

    fn line_when_due(&self, done: u64, now: u64) {
        let due = self.next_line.load(Ordering::Relaxed);
        let next = now + millis(BETWEEN_LINES);
        let mine = now >= due
            && self
                .next_line
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            let percent = done.saturating_mul(100).checked_div(self.total).unwrap_or(100);
            let (label, total) = (&self.label, self.total);
            let line = match self.unit {
                Unit::Bytes => {
                    format!("{} of {} ({percent} %)", crate::bytes(done), crate::bytes(total))
                }
                Unit::Items => format!("{done} of {total} ({percent} %)"),
                Unit::Counted => crate::bytes(done),
            };
            let _ = writeln!(std::io::stderr().lock(), "{label}: {line}");
        }
    }

    /// It is over; the bar goes away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn bar(label: &str, total: u64, unit: Unit) -> ProgressBar {
    let template = match unit {
        Unit::Bytes => {
            "{msg} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left"
        }
        Unit::Items => "{msg} [{bar:30}] {pos} of {len}, {eta} left",
        Unit::Counted => "{msg} {decimal_bytes}, {decimal_bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
        .with_style(style.progress_chars("=> "))
        .with_message(label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_many_threads() {
        let progress = Progress::bytes("test", 100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| progress.add(1)));
            }
        });
        assert_eq!(progress.done.load(Ordering::Relaxed), 100);
    }
}
