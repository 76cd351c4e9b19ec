//! `install resume`

use cutover_terminal::{Failure, Output};
use serde::Serialize;

use super::RootArgs;
use crate::installer::Installer;
use crate::receipt::{Outcome, Receipt};
use crate::transaction::Undoing;

#[derive(Serialize)]
struct Resumed {
    receipt: Option<Receipt>,
}

/// How to end it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End it although a stage cannot be undone, and leave that as it is
    #[arg(long)]
    pub leave_undone: bool,
}

/// Ends an install that a crash cut off: in the new release or in the old.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let undoing = if args.leave_undone { Undoing::May } else { Undoing::Must };
    let resumed = Resumed { receipt: Installer::of(root.node()?).resume(undoing, output)? };
    output.result(&resumed, || match &resumed.receipt {
        None => "nothing was cut off".to_owned(),
        Some(receipt) => match (&receipt.outcome, &receipt.from) {
            (Outcome::Done, _) => format!("{} is current", receipt.to),
            (_, Some(from)) => format!("{from} is current, as before"),
            (_, None) => "no release is current, as before".to_owned(),
        },
    });
    Ok(())
}
