//! Which command of a pool is under way: `run/pool-command.json`.
//!
//! Whoever finds it after a crash ends that command and all that it started. What earlier ones started
//! and left, and came to their end, runs on purpose.

use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;

use cutover_node::disk::{self, DiskError};
use cutover_node::leftovers;
use cutover_node::root::Root;

/// The part that all of them are.
const PART: &str = "pool";

/// One node's record of it.
#[derive(Debug)]
pub(super) struct Running {
    path: PathBuf,
    root: PathBuf,
}

impl Running {
    pub(super) fn of(root: &Root) -> Self {
        Self { path: root.pool_command(), root: root.path().to_owned() }
    }

    /// Puts `command`, which is about to start, on record, when what a killed program left is ended.
    pub(super) fn begin(&self, command: &mut Command) -> Result<(), DiskError> {
        self.end_left_behind()?;
        let (process, now) = (std::process::id(), Timestamp::now().as_nanosecond());
        let mark = format!("pool of {}, {process}-{now}", self.root.display());
        leftovers::mark(command, &mark, PART);
        if let Some(folder) = self.path.parent() {
            disk::ensure_folder(folder)?;
        }
        disk::write_json(&self.path, &mark)
    }

    /// It has ended.
    pub(super) fn end(&self) -> Result<(), DiskError> {
        disk::remove_file(&self.path)
    }

    /// Ends the command that a killed program left running, if there is one. The node's lock is held.
    pub(super) fn end_left_behind(&self) -> Result<(), DiskError> {
        if let Some(mark) = disk::read_json::<String>(&self.path)? {
            leftovers::end(&mark, &[]);
        }
        self.end()
    }
}
