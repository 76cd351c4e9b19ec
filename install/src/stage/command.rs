//! Command lines of releases and nodes: each in a process group of its own, with a limit, its output
//! in a file.

use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::stage::{CommandLine, DEFAULT_TIMEOUT};
use cutover_repository::child;
use cutover_terminal::Failure;

use super::{Scene, Stage, words};
use crate::gate::ControlError;
use crate::leftovers;
use crate::plan::Step;
use crate::program::{self, Ended, How};

/// A command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A value may not stand in a shell's text.
    #[error(
        "`{command}` is for a shell, and {{{name}}} is `{value}` here, which a shell would read"
    )]
    Quoting {
        /// As it is written.
        command: String,
        /// The placeholder.
        name: String,
        /// What stands for it here.
        value: String,
    },
    /// It names an address that is not there yet.
    #[error("`{command}` needs {{{name}}}, and the new release does not run at this stage")]
    NoAddress {
        /// As it is written.
        command: String,
        /// The placeholder.
        name: &'static str,
    },
    /// It could not be started, or watched.
    #[error("cannot run `{command}`: {error}")]
    Run {
        /// As it is written.
        command: String,
        /// Why not.
        error: io::Error,
    },
    /// It failed, or took too long and was killed with all that it had started.
    #[error("`{command}` {how}")]
    Failed {
        /// As it is written.
        command: String,
        /// How it ended.
        how: How,
        /// Where its output is.
        log: PathBuf,
        /// The end of that.
        tail: Vec<String>,
    },
    /// The gate cannot be asked where the release runs.
    #[error(transparent)]
    Gate(#[from] ControlError),
}

impl Explain for CommandError {
    fn exit(&self) -> Exit {
        match self {
            Self::Quoting { .. } | Self::NoAddress { .. } => Exit::Usage,
            Self::Run { error, .. } => match Exit::of_io(error) {
                // A program that is not there is not a release that is not there.
                Exit::NotFound => Exit::Usage,
                exit => exit,
            },
            Self::Failed { .. } => Exit::CheckFailed,
            Self::Gate(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Quoting { .. } => {
                vec!["write the command as a list of words: no shell reads those".to_owned()]
            }
            Self::NoAddress { .. } => vec!["put it after `health`".to_owned()],
            Self::Run { .. } => Vec::new(),
            Self::Failed { log, tail, .. } => {
                let mut hints: Vec<String> = tail.iter().map(|line| format!("| {line}")).collect();
                hints.push(format!("all of its output is in {}", log.display()));
                hints
            }
            Self::Gate(error) => error.hints(),
        }
    }
}

/// A command that is to be run.
pub(crate) struct Job<'a> {
    /// As it is written.
    pub(crate) line: &'a CommandLine,
    /// Where its output goes, in the place of what is there.
    pub(crate) log: &'a Path,
    /// How long it may take.
    pub(crate) limit: Duration,
}

impl Job<'_> {
    /// Runs it to its end.
    pub(crate) fn run(&self, scene: &mut Scene<'_>) -> Result<(), CommandError> {
        let words = self.words(scene)?;
        // As its output is called: `stage-…`, `undo-…`, `check-…`.
        let part = self.log.file_stem().unwrap_or_default().to_string_lossy();
        let program = command(scene, &words, &part);
        let ended = program::run_logged(program, self.limit, self.log, || {});
        let command = self.line.to_string();
        match ended {
            Ok(ended) if ended.succeeded() => Ok(()),
            Ok(Ended { how, tail }) => {
                Err(CommandError::Failed { command, how, log: self.log.to_owned(), tail })
            }
            Err(error) => Err(CommandError::Run { command, error }),
        }
    }

    /// The program and its arguments, with this node's values in them.
    fn words(&self, scene: &mut Scene<'_>) -> Result<Vec<String>, CommandError> {
        let values = scene.values()?;
        let missing = ["listen", "port", "socket"].into_iter().find(|name| {
            let mentioned = self.line.texts().any(|text| text.contains(&format!("{{{name}}}")));
            mentioned && !values.iter().any(|(known, _)| known == name)
        });
        let command = self.line.to_string();
        if let Some(name) = missing {
            return Err(CommandError::NoAddress { command, name });
        }
        words::words(self.line, &values).map_err(|words::NeedsQuoting { name, value }| {
            CommandError::Quoting { command, name, value }
        })
    }
}

/// A process that is told nothing of our own settings, secrets among them.
fn command(scene: &Scene<'_>, words: &[String], part: &str) -> process::Command {
    let root = &scene.node.root;
    let prefix = root.prefix(scene.to);
    let folder = if prefix.is_dir() { prefix } else { root.path().to_owned() };
    let mut command = child::command(words.first().map_or("", String::as_str));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CUTOVER_") {
            command.env_remove(name);
        }
    }
    command.args(words.iter().skip(1)).current_dir(folder);
    leftovers::mark(&mut command, scene.id, part);
    // Else a release that runs its own Python would change its sealed prefix.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A stage that is a command.
pub(crate) struct Command<'a> {
    step: &'a Step,
    run: &'a CommandLine,
}

impl<'a> Command<'a> {
    /// The stage of `step`, which runs `run`.
    pub(crate) fn new(step: &'a Step, run: &'a CommandLine) -> Self {
        Self { step, run }
    }

    fn job(&self, line: &CommandLine, part: &str, scene: &mut Scene<'_>) -> Result<(), Failure> {
        let log = scene.node.root.run().join(format!("{part}.log"));
        let limit = self.step.timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(Job { line, log: &log, limit: limit.as_duration() }.run(scene)?)
    }
}

impl Stage for Command<'_> {
    fn plan(&self) -> String {
        self.step.what.clone()
    }

    fn run(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        self.job(self.run, &leftovers::stage(&self.step.stage), scene)
    }

    fn undo(&self, scene: &mut Scene<'_>) -> Result<(), Failure> {
        match &self.step.undo {
            Some(undo) => self.job(undo, &format!("undo-{}", self.step.stage), scene),
            None => Ok(()),
        }
    }
}
