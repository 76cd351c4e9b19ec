//! Each stage: announced in the journal, timed, reported.

use std::time::Duration;

use cutover_terminal::Output;

use crate::journal::Journal;
use crate::plan::{Placed, Step};
use crate::receipt::{CheckPassed, StageTime};

/// Writes down what a transaction does while it does it.
pub(super) struct Recorder<'a> {
    pub(super) journal: Journal,
    pub(super) times: Vec<StageTime>,
    pub(super) checks: Vec<CheckPassed>,
    pub(super) warnings: Vec<String>,
    output: &'a Output,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(journal: Journal, resolved: StageTime, output: &'a Output) -> Self {
        Self { times: vec![resolved], ..Self::after_crash(journal, output) }
    }

    /// For a transaction whose beginning nobody timed.
    pub(super) fn after_crash(journal: Journal, output: &'a Output) -> Self {
        Self { journal, times: Vec::new(), checks: Vec::new(), warnings: Vec::new(), output }
    }

    /// A stage is over; `words` say what it came to, where the plan could not know.
    pub(super) fn over(&mut self, step: &Step, took: Duration, words: Option<String>) {
        let what = words.unwrap_or_else(|| step.what.clone());
        let time = StageTime { stage: step.stage.clone(), seconds: took.as_secs_f64(), what };
        report(self.output, &time);
        self.times.push(time);
    }

    /// A check held.
    pub(super) fn checked(&mut self, placed: &Placed) {
        let check = &placed.check;
        let what = check.probe.to_string();
        self.checks.push(CheckPassed { stage: check.stage.clone(), when: check.when, what });
    }
}

/// A line about a stage that is over.
pub fn report(output: &Output, time: &StageTime) {
    let StageTime { stage, seconds, what } = time;
    output.note(format!("{:<9} {seconds:>7.2} s  {what}", stage.as_str()));
}
