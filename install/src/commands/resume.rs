//! `install resume`

use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::cli::RootArgs;
use crate::installer::Installer;
use crate::receipt::{Outcome, Receipt};

#[derive(Serialize)]
struct Resumed {
    receipt: Option<Receipt>,
}

/// Ends an install that a crash cut off: in the new release or in the old.
pub fn run(root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let resumed = Resumed { receipt: Installer::of(root.node()?).resume(output)? };
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
