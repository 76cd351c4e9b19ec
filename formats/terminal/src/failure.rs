//! Failures as people see them.

use cutover_formats::exit::{Exit, Explain};

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
