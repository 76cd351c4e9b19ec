//! Counts of answers and of how long they took, by release.
//!
//! Each serving thread has numbers of its own, on cache lines of its own, and is the only one that
//! writes them: counting is a plain load and store. Whoever reads adds the threads up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cutover_formats::version::Version;
use hyper::StatusCode;

/// Upper bounds of the steps in which times are counted, microseconds. Above the last is one more.
pub(super) const STEPS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Answers of one release, or of the gate itself.
#[derive(Debug)]
pub(super) struct Meter(Box<[Lane]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    /// By the first digit of the status, from 1xx to 5xx.
    classes: [AtomicU64; 5],
    /// By time, from the shortest on.
    steps: [AtomicU64; STEPS.len() + 1],
    micros: AtomicU64,
}

/// What a meter shows at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Answers from 1xx to 5xx.
    pub(super) classes: [u64; 5],
    /// Answers by time.
    pub(super) steps: [u64; STEPS.len() + 1],
    /// All their times together.
    pub(super) took: Duration,
}

impl Meter {
    fn new(lanes: usize) -> Self {
        Self((0..lanes).map(|_| Lane::default()).collect())
    }

    /// Counts an answer whose head took `took` to come. `lane` is the calling thread's own.
    pub(super) fn count(&self, lane: usize, status: StatusCode, took: Duration) {
        let lane = &self.0[lane];
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        add(&lane.classes[class], 1);
        add(&lane.steps[STEPS.partition_point(|bound| *bound < micros)], 1);
        add(&lane.micros, micros);
    }

    /// All threads together.
    pub(super) fn read(&self) -> Reading {
        let mut reading = Reading::default();
        for lane in &self.0 {
            let pairs = reading.classes.iter_mut().zip(&lane.classes);
            for (sum, part) in pairs.chain(reading.steps.iter_mut().zip(&lane.steps)) {
                *sum += part.load(Ordering::Relaxed);
            }
            reading.took += Duration::from_micros(lane.micros.load(Ordering::Relaxed));
        }
        reading
    }
}

/// Only one thread writes to `number`.
fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// The meters of all releases that this gate has served.
#[derive(Debug)]
pub(super) struct Meters {
    lanes: usize,
    releases: Mutex<BTreeMap<Version, Arc<Meter>>>,
    /// The gate's own answers.
    pub(super) own: Meter,
}

impl Meters {
    /// Meters for `lanes` threads.
    pub(super) fn new(lanes: usize) -> Self {
        Self { lanes, releases: Mutex::default(), own: Meter::new(lanes) }
    }

    /// The meter of a release, which stays the same whatever becomes of its processes.
    pub(super) fn of(&self, version: &Version) -> Arc<Meter> {
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        let meter =
            releases.entry(version.clone()).or_insert_with(|| Arc::new(Meter::new(self.lanes)));
        meter.clone()
    }

    /// What each release's meter shows.
    pub(super) fn read(&self) -> BTreeMap<Version, Reading> {
        let releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        releases.iter().map(|(version, meter)| (version.clone(), meter.read())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_added_up() {
        let meters = Meters::new(2);
        let meter = meters.of(&Version::new(1, 0, 0));
        let times = [0, 500, 501, 3_000_000, 60_000_000];
        for (at, micros) in times.into_iter().enumerate() {
            let status = StatusCode::from_u16(200 + 100 * (at as u16 % 4)).unwrap();
            meter.count(at % 2, status, Duration::from_micros(micros));
        }
        meter.count(0, StatusCode::from_u16(999).unwrap(), Duration::ZERO);
        let reading = meters.read()[&Version::new(1, 0, 0)];
        assert_eq!(reading.classes, [0, 2, 1, 1, 2]);
        assert_eq!(
            (reading.steps[0], reading.steps[1], reading.steps[12], reading.steps[14]),
            (3, 1, 1, 1)
        );
        assert_eq!(reading.took, Duration::from_micros(times.iter().sum()));
    }
}
