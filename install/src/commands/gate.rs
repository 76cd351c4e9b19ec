//! `install gate`, and the two hidden steps between it and a service.

use cutover_terminal::{Exit, Failure, Verbosity, log_to_stderr};

use crate::cli::RootArgs;
use crate::gate::minder;

/// Runs the gate until it is told to end.
pub fn run(root: &RootArgs) -> Result<(), Failure> {
    let node = root.node()?;
    log_to_stderr(Verbosity::Normal);
    Ok(crate::gate::run(&node.root, &node.settings)?)
}

/// Minds one process of a service.
pub fn mind() -> Result<(), Failure> {
    log_to_stderr(Verbosity::Normal);
    minder::mind().map_err(|error| Failure::new(Exit::of_io(&error), format!("mind: {error}")))
}

/// Becomes a service's process.
pub fn enter() -> Result<(), Failure> {
    minder::enter().map_err(|error| Failure::new(Exit::of_io(&error), format!("enter: {error}")))
}
