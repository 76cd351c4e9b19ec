//! Building the Python environment inside the prefix: offline, from the release's own wheels,
//! isolated from the host's packages and from whoever runs the installer.

pub(crate) mod record;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cutover_formats::descriptor::Python;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::path::RelPath;
use cutover_repository::child;
use cutover_terminal::bytes;

use crate::audit::Finding;
use crate::disk::{self, DiskError};
use crate::integrity::named;
use crate::leftovers;
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
    /// There was no room for what it builds.
    #[error("no space left on the disk of {}: `{command}` {how}", .full.path.display())]
    NoSpace {
        /// What was run.
        command: String,
        /// How it ended.
        how: How,
        /// The disk.
        full: Room,
        /// The end of what it printed.
        tail: Vec<String>,
    },
    /// The folder for a builder's temporary files.
    #[error(transparent)]
    Scratch(#[from] DiskError),
    /// What was installed is not what the packages say of themselves.
    #[error("the environment is not what its packages hold: {}", named(.0))]
    Differs(Vec<Finding>),
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
            Self::NoSpace { .. } => Exit::NoSpace,
            Self::Scratch(error) => error.exit(),
            Self::Differs(_) => Exit::NotTrusted,
            Self::Failed { .. } => Exit::CheckFailed,
        }
    }

    fn hints(&self) -> Vec<String> {
        let (tail, room) = match self {
            Self::Failed { tail, .. } => (tail, None),
            Self::NoSpace { tail, full, .. } => (tail, Some(full)),
            Self::Scratch(error) => return error.hints(),
            Self::Differs(_) => {
                return vec![
                    "a package that was just unpacked differs from its own RECORD: it was made wrong, \
                     or the disk or memory of this node fails"
                        .to_owned(),
                ];
            }
            Self::NoInterpreter(_) | Self::Run { .. } => return Vec::new(),
        };
        let mut hints: Vec<String> = tail.iter().map(|line| format!("| {line}")).collect();
        hints.extend(room.map(|Room { free, .. }| {
            format!(
                "{} were left there; free some space (`install prune` removes old releases), then try \
                 again",
                bytes(*free)
            )
        }));
        hints
    }
}

/// What a builder found on a disk that it writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// A folder there.
    pub path: PathBuf,
    /// The fewest bytes that were seen to be free: a builder that gives up removes what it wrote.
    pub free: u64,
}

impl Room {
    /// The disks that builders write to: the prefix's, and that of their cache and temporary files,
    /// should it be another.
    fn all(site: &Site<'_>) -> Vec<Self> {
        let folders = [site.prefix.to_owned(), site.root.scratch()];
        folders.map(|path| Self { path, free: u64::MAX }).into()
    }

    /// As far as it can be looked at.
    fn look(&mut self) {
        self.free = disk::free_space(&self.path).map_or(self.free, |free| free.min(self.free));
    }
}

/// Where an environment is built.
pub(crate) struct Site<'a> {
    /// The node's root, or a rehearsal's.
    pub(crate) root: &'a Root,
    /// The release's own folder.
    pub(crate) prefix: &'a Path,
    /// Names the transaction.
    pub(crate) id: &'a str,
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

    /// Forgets what it keeps between builds; whether there was anything.
    pub(crate) fn forget(&self, root: &Root) -> Result<bool, DiskError> {
        let Self::Uv(_) = self else { return Ok(false) };
        let cache = uv_cache(root);
        let had = cache.exists();
        disk::remove_tree(&cache)?;
        Ok(had)
    }

    /// Builds `python` in `prefix`.
    ///
    /// The environment stands at its final place from the start, because its scripts name it by
    /// its absolute path. A builder that takes longer than `limit` is ended with all that it
    /// started.
    pub(crate) fn build(
        &self,
        site: &Site<'_>,
        python: &Python,
        limit: Option<Duration>,
    ) -> Result<(), BuildError> {
        sweep(site.root)?;
        disk::ensure_folder(&site.root.scratch())?;
        let built = self.build_with_scratch(site, python, limit);
        let swept = sweep(site.root);
        built.and(swept.map_err(BuildError::from))
    }

    fn build_with_scratch(
        &self,
        site: &Site<'_>,
        python: &Python,
        limit: Option<Duration>,
    ) -> Result<(), BuildError> {
        let began = Instant::now();
        let interpreter = find_command(&python.interpreter)
            .ok_or_else(|| BuildError::NoInterpreter(python.interpreter.clone()))?;
        let limit = limit.unwrap_or(Duration::MAX);
        let mut commands = self.commands(site, python, &interpreter).into_iter();
        commands.try_for_each(|command| run(command, limit.saturating_sub(began.elapsed()), site))
    }

    /// What makes the environment, and what fills it.
    fn commands(&self, site: &Site<'_>, python: &Python, interpreter: &Path) -> [Command; 2] {
        let place = |path: &RelPath| site.prefix.join(path.as_path());
        let (env, lock) = (place(&python.env), place(&python.requirements));
        let inside = env.join("bin/python");
        let install = ["pip", "install", "--no-index", "--require-hashes", "--no-deps"];
        let (mut make, mut fill) = match self {
            Self::Uv(uv) => (self.command(site, uv), self.command(site, uv)),
            Self::Pip => (self.command(site, interpreter), self.command(site, &inside)),
        };
        match self {
            Self::Uv(_) => {
                make.args(["venv", "--python"]).args([interpreter, &env]);
                // Nothing in an environment is the cache's, or another environment's: what somebody edits
                // there stays there. Where the file system can, blocks are shared until then.
                fill.args(install).args(["--compile-bytecode", "--link-mode", "copy"]);
                fill.arg("--python").arg(inside);
            }
            Self::Pip => {
                // Isolated: otherwise it takes modules from the folder that it runs in.
                make.args(["-I", "-m", "venv"]).arg(env);
                fill.args(["-I", "-m"]).args(install);
                fill.args(["--disable-pip-version-check", "--no-cache-dir", "--no-input"]);
            }
        }
        // Relative to the prefix: uv takes a comma in the path of the root for the end of one of several.
        fill.arg("--find-links").arg(python.wheels.as_path()).arg("-r").arg(lock);
        [make, fill]
    }

    /// A command that sees nothing of the operator's own Python settings.
    fn command(&self, site: &Site<'_>, program: &Path) -> Command {
        let mut command = child::command(program);
        command.current_dir(site.prefix);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let foreign = ["PIP_", "UV_", "PYTHON", "VIRTUAL_ENV", "CONDA_", "CUTOVER_"];
            if foreign.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name.as_ref());
            }
        }
        leftovers::mark(&mut command, site.id, "builder");
        // On the disk that was found to have room, and found again where a builder is killed.
        command.env("TMPDIR", site.root.scratch());
        match self {
            Self::Uv(_) => {
                command.env("UV_OFFLINE", "1").env("UV_NO_CONFIG", "1");
                command.env("UV_NO_PROGRESS", "1").env("UV_PYTHON_DOWNLOADS", "never");
                command.env("UV_CACHE_DIR", uv_cache(site.root));
            }
            Self::Pip => {
                command.env("PIP_CONFIG_FILE", "/dev/null").env("PYTHONNOUSERSITE", "1");
            }
        }
        command
    }
}

fn uv_cache(root: &Root) -> PathBuf {
    root.cache().join("uv")
}

fn run(command: Command, within: Duration, site: &Site<'_>) -> Result<(), BuildError> {
    let shown = program::shown(&command);
    let program = command.get_program().to_string_lossy().into_owned();
    let log = site.root.run().join("stage-build.log");
    let mut rooms = Room::all(site);
    match program::run_logged(command, within, &log, || rooms.iter_mut().for_each(Room::look)) {
        Ok(ended) if ended.succeeded() => Ok(()),
        Ok(ended) => Err(failure(shown, ended, rooms)),
        Err(error) => Err(BuildError::Run { program, error }),
    }
}

/// Removes what builders wrote for the time of a build; one that was killed leaves it.
pub(crate) fn sweep(root: &Root) -> Result<(), DiskError> {
    disk::remove_tree(&root.scratch())
}

/// Why a builder failed. Not each of them hands on what those say that it runs itself, so a disk
/// with next to no space left is reason enough.
fn failure(command: String, ended: Ended, rooms: Vec<Room>) -> BuildError {
    const NEXT_TO_NONE: u64 = 64 << 10;
    /// As Python and Rust write it, whatever the language.
    const WORDS: [&str; 2] = ["[Errno 28]", "(os error 28)"];
    let Ended { how, tail } = ended;
    let told = tail.iter().any(|line| WORDS.iter().any(|words| line.contains(words)));
    match rooms.into_iter().min_by_key(|room| room.free) {
        Some(full) if told || full.free < NEXT_TO_NONE => {
            BuildError::NoSpace { command, how, full, tail }
        }
        _ => BuildError::Failed { command, how, tail },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures_and_from_other_disks() {
        let room = |path: &str, free| Room { path: path.into(), free };
        let fails = |words: &str, rooms| {
            let how = How::Exited(ExitStatus::from_raw(256));
            failure("uv".to_owned(), Ended { how, tail: vec![words.to_owned()] }, rooms)
        };
        let roomy = || vec![room("/srv", 1 << 30), room("/var", 1 << 20)];
        assert_eq!(fails("bad wheel", roomy()).exit(), Exit::CheckFailed);
        for words in ["[Errno 28] No space left", "Kein Platz (os error 28)"] {
            let error = fails(words, roomy());
            assert_eq!(error.exit(), Exit::NoSpace);
            assert!(
                error.to_string().starts_with("no space left on the disk of /var: `uv` failed")
            );
        }
        let error = fails("exit status 1", vec![room("/srv", 4096), room("/var", 1 << 20)]);
        assert!(error.to_string().contains("the disk of /srv"));
        let hints = error.hints();
        assert!(
            hints[0] == "| exit status 1" && hints[1].starts_with("4.10 kB were left"),
            "{hints:?}"
        );
    }
}
