//! Building the Python environment inside the prefix: offline, from the release's own wheels,
//! isolated from the host's packages and from whoever runs the installer.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cutover_formats::descriptor::Python;
use cutover_formats::exit::{Exit, Explain};

use crate::program::{self, Ended, How};
use crate::requires::find_command;
use crate::root::Root;

/// The environment could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The interpreter went away since preflight.
    #[error("the program `{0}` is not in PATH")]
    NoInterpreter(String),
    /// A builder could not be run.
    #[error("cannot run {program}: {error}")]
    Run {
        /// Which one.
        program: String,
        /// Why not.
        error: std::io::Error,
    },
    /// A builder failed.
    #[error("`{command}` {how}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        how: How,
        /// The end of what it printed.
        tail: Vec<String>,
    },
}

impl Explain for BuildError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoInterpreter(_) => Exit::Usage,
            Self::Run { error, .. } => Exit::of_io(error),
            Self::Failed { tail, .. } if tail.iter().any(|line| line.contains("(os error 28)")) => {
                Exit::NoSpace
            }
            Self::Failed { .. } => Exit::CheckFailed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Failed { tail, .. } => tail.iter().map(|line| format!("| {line}")).collect(),
            Self::NoInterpreter(_) | Self::Run { .. } => Vec::new(),
        }
    }
}

/// What builds environments on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Builder {
    /// `uv`: an order of magnitude faster.
    Uv(PathBuf),
    /// The interpreter's own `venv` and `pip`.
    Pip,
}

impl Builder {
    /// The fastest that is there.
    #[must_use]
    pub fn find() -> Self {
        find_command("uv").map_or(Self::Pip, Self::Uv)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uv(_) => "uv",
            Self::Pip => "venv and pip",
        }
    }

    /// Builds `python` in `prefix`.
    ///
    /// The environment stands at its final place from the start, because its scripts name it by
    /// its absolute path. A builder that takes longer than `limit` is ended with all that it
    /// started.
    pub fn build(
        &self,
        root: &Root,
        prefix: &Path,
        python: &Python,
        limit: Option<Duration>,
    ) -> Result<(), BuildError> {
        let began = Instant::now();
        let log = root.run().join("stage-build.log");
        let run = |command: Command| {
            run(command, limit.unwrap_or(Duration::MAX).saturating_sub(began.elapsed()), &log)
        };
        let interpreter = find_command(&python.interpreter)
            .ok_or_else(|| BuildError::NoInterpreter(python.interpreter.clone()))?;
        let env = prefix.join(python.env.as_path());
        let lock = prefix.join(python.requirements.as_path());
        let wheels = prefix.join(python.wheels.as_path());
        match self {
            Self::Uv(uv) => {
                let make: [&OsStr; 4] =
                    ["venv".as_ref(), "--python".as_ref(), interpreter.as_ref(), env.as_ref()];
                let mut venv = self.command(root, uv);
                venv.args(make);
                run(venv)?;
                let install = ["pip", "install", "--no-index", "--require-hashes", "--no-deps"];
                let python = env.join("bin/python");
                let mut pip = self.command(root, uv);
                pip.args(install)
                    .args(["--compile-bytecode", "--link-mode", "hardlink"])
                    .args([OsStr::new("--python"), python.as_ref()])
                    .args([OsStr::new("--find-links"), wheels.as_ref()])
                    .args([OsStr::new("--requirements"), lock.as_ref()]);
                run(pip)
            }
            Self::Pip => {
                let venv: [&OsStr; 3] = ["-m".as_ref(), "venv".as_ref(), env.as_ref()];
                let mut make = self.command(root, &interpreter);
                make.args(venv);
                run(make)?;
                let install =
                    ["-m", "pip", "install", "--no-index", "--require-hashes", "--no-deps"];
                let mut pip = self.command(root, &env.join("bin/python"));
                pip.args(install)
                    .args(["--disable-pip-version-check", "--no-cache-dir", "--no-input"])
                    .args([OsStr::new("--find-links"), wheels.as_ref()])
                    .args([OsStr::new("--requirement"), lock.as_ref()]);
                run(pip)
            }
        }
    }

    /// A command that sees nothing of the operator's own Python settings.
    fn command(&self, root: &Root, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let foreign = ["PIP_", "UV_", "PYTHON", "VIRTUAL_ENV", "CONDA_", "CUTOVER_"];
            if foreign.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name.as_ref());
            }
        }
        match self {
            Self::Uv(_) => {
                command.env("UV_OFFLINE", "1").env("UV_NO_CONFIG", "1");
                command.env("UV_NO_PROGRESS", "1").env("UV_PYTHON_DOWNLOADS", "never");
                command.env("UV_CACHE_DIR", root.cache().join("uv"));
            }
            Self::Pip => {
                command.env("PIP_CONFIG_FILE", "/dev/null").env("PYTHONNOUSERSITE", "1");
            }
        }
        command
    }
}

fn run(command: Command, within: Duration, log: &Path) -> Result<(), BuildError> {
    let shown = program::shown(&command);
    let program = command.get_program().to_string_lossy().into_owned();
    match program::run_logged(command, within, log) {
        Ok(ended) if ended.succeeded() => Ok(()),
        Ok(Ended { how, tail }) => Err(BuildError::Failed { command: shown, how, tail }),
        Err(error) => Err(BuildError::Run { program, error }),
    }
}
