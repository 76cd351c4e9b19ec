//! Each stage: announced in the journal, timed, reported.

use std::time::Instant;

use cutover_terminal::Output;

use super::failure::{Broken, StageError};
use crate::journal::Journal;
use crate::plan::{Plan, Stage};
use crate::receipt::StageTime;

/// Writes down what a transaction does while it does it.
pub(super) struct Recorder<'a> {
    pub(super) journal: Journal,
    pub(super) times: Vec<StageTime>,
    plan: &'a Plan,
    output: &'a Output,
}

/// What a stage came to, and, where the plan could not know, in words.
pub(super) type Done<T> = Result<(T, Option<String>), StageError>;

impl<'a> Recorder<'a> {
    pub(super) fn new(
        journal: Journal,
        resolved: StageTime,
        plan: &'a Plan,
        output: &'a Output,
    ) -> Self {
        Self { journal, times: vec![resolved], plan, output }
    }

    /// Does a stage.
    pub(super) fn stage<T>(
        &mut self,
        stage: Stage,
        act: impl FnOnce() -> Done<T>,
    ) -> Result<T, Broken> {
        self.journal.stage(stage).map_err(Broken::at(stage))?;
        let began = Instant::now();
        let (value, words) = act().map_err(Broken::at(stage))?;
        let planned = self.plan.steps.iter().find(|step| step.stage == stage);
        let planned = || planned.map_or_else(String::new, |step| step.what.clone());
        let what = words.unwrap_or_else(planned);
        let time = StageTime { stage, seconds: began.elapsed().as_secs_f64(), what };
        report(self.output, &time);
        self.times.push(time);
        Ok(value)
    }
}

/// A line about a stage that is over.
pub fn report(output: &Output, time: &StageTime) {
    let StageTime { stage, seconds, what } = time;
    output.note(format!("{stage:<9} {seconds:>7.2} s  {what}"));
}
