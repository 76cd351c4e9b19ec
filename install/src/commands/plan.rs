//! `install plan …`

use cutover_terminal::{Failure, Output};

use super::install::{Args, show};
use super::{resolve_wanted, store};
use crate::cli::RootArgs;
use crate::plan::plan;
use crate::receipt::Operation;

/// Prints what an install would do. Beside fresher metadata in `state/trust`, nothing changes.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let store = store(&node)?;
    let release = resolve_wanted(&node, store.as_ref(), args.wanted.as_ref())?;
    let mut gate = node.gate()?;
    let situation = node.situation(gate.as_mut())?;
    let swap = args.swap.or(node.settings.service.swap);
    let plan = plan(Operation::Install, &situation, &release.descriptor, swap);
    output.result(&plan, || show(&plan));
    Ok(())
}
