//! `before-release` checks: what must hold before there is a release.
//!
//! They run in a copy of the tree, so that what they write is not released. The copy is of the
//! whole tree: what `exclude` leaves out of the release is often just what the checks need.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use cutover_formats::exit::{Exit, Explain};
use cutover_pack::bundle::{Source, SourceEntry};
use cutover_terminal::{Output, Progress};

use crate::child;
use crate::leftovers;
use crate::source::SourceTree;

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// A check failed.
    #[error("the before-release check `{command}` failed: {}", ending(*.status))]
    Failed {
        /// As in `release.toml`.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// There is no copy of the tree to check.
    #[error("cannot copy the tree to {}: {source}", path.display())]
    Copy {
        /// Where to.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A check cannot be started.
    #[error("cannot run `sh` for the before-release checks: {0}")]
    NoShell(#[source] io::Error),
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it did not end well".to_owned(),
    }
}

impl Explain for CheckError {
    fn exit(&self) -> Exit {
        match self {
            Self::Failed { .. } => Exit::CheckFailed,
            Self::Copy { source, .. } | Self::NoShell(source) => Exit::of_io(source),
        }
    }

    fn hints(&self) -> Vec<String> {
        vec!["no release was made".to_owned()]
    }
}

/// Runs the checks, one after the other; their output is shown as it comes.
pub(crate) fn run(tree: &SourceTree, output: &Output) -> Result<(), CheckError> {
    let commands = &tree.manifest.checks.before_release;
    if commands.is_empty() {
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("cutover-checks-").tempdir();
    let folder =
        folder.map_err(|source| CheckError::Copy { path: std::env::temp_dir(), source })?;
    let progress = Progress::items("copying the tree for the checks", tree.files.len() as u64);
    for entry in &tree.files {
        let place = folder.path().join(entry.path.as_path());
        copy(entry, &place).map_err(|source| CheckError::Copy { path: place, source })?;
        progress.add(1);
    }
    progress.finish();
    commands.iter().try_for_each(|command| check(command, folder.path(), output))
}

fn copy(entry: &SourceEntry, place: &Path) -> io::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    match &entry.kind {
        Source::Folder => fs::create_dir_all(place),
        Source::File { source, .. } => fs::copy(source, place).map(|_| ()),
        Source::Link { target } => symlink(target, place),
    }
}

fn check(command: &str, folder: &Path, output: &Output) -> Result<(), CheckError> {
    output.note(format!("check: {command}"));
    // Results go to our stdout; what a check prints is not one.
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(CheckError::NoShell)?;
    let mut shell = child::command("sh");
    shell.args(["-c", command]).current_dir(folder).stdin(Stdio::null()).stdout(stderr);
    let status = leftovers::run_alone(&mut shell).map_err(CheckError::NoShell)?;
    if status.success() {
        return Ok(());
    }
    Err(CheckError::Failed { command: command.to_owned(), status })
}
