//! `install gate`

use cutover_terminal::{Failure, Verbosity, log_to_stderr};

use crate::cli::RootArgs;

/// Runs the gate until it is told to end.
pub fn run(root: &RootArgs) -> Result<(), Failure> {
    let node = root.node()?;
    log_to_stderr(Verbosity::Normal);
    Ok(crate::gate::run(&node.root, &node.settings)?)
}
