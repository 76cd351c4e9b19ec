//! Failures as people see them, and the one place where a program ends.

use std::process::ExitCode;

use cutover_formats::exit::{Exit, Explain};
use serde::Serialize;

use crate::Output;

/// What went wrong, in words for people, with the exit code for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The documented exit code.
    pub exit: Exit,
    /// Lower case, names the thing, no full stop.
    pub message: String,
    /// What was left untouched, what to do next.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure without advice.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hints: Vec::new() }
    }

    /// The same with one more piece of advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl<E: Explain> From<E> for Failure {
    /// The error and, where it does not say so itself, what caused it.
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let words = cause.to_string();
            if !message.contains(&words) {
                message = format!("{message}: {words}");
            }
            source = cause.source();
        }
        Self { exit: error.exit(), hints: error.hints(), message }
    }
}

/// Runs a program and turns what comes of it into messages and an exit code.
///
/// With `--json` a failure is an object too: `{"error": {"exit": 3, "message": …, "hints": […]}}`.
pub fn run(output: &Output, program: impl FnOnce(&Output) -> Result<(), Failure>) -> ExitCode {
    #[derive(Serialize)]
    struct Report<'a> {
        error: Described<'a>,
    }
    #[derive(Serialize)]
    struct Described<'a> {
        exit: u8,
        message: &'a str,
        hints: &'a [String],
    }
    let ended = program(output);
    crate::logging::flush();
    match ended {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(failure) => {
            output.error(&failure);
            let (exit, message) = (failure.exit.code(), failure.message.as_str());
            output.json(&Report { error: Described { exit, message, hints: &failure.hints } });
            ExitCode::from(exit)
        }
    }
}
