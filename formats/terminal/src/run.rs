//! The one place where a program ends.

use std::process::ExitCode;

use cutover_formats::exit::Exit;
use serde::Serialize;

use crate::{Failure, Output};

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
