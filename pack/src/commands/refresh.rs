//! `pack refresh`: new expiry dates for snapshot and timestamp.

use cutover_publish as publish;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::repository::RepoArgs;
use crate::repository::{Opened, notes};

/// What `pack refresh` takes: only the snapshot and timestamp keys are needed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    repo: RepoArgs,
}

#[derive(Serialize)]
struct Refreshed {
    snapshot: u64,
}

/// Signs anew.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.repo)?;
    let notes = notes(output);
    let done = publish::refresh(&opened.repo(&notes))?;
    let refreshed = Refreshed { snapshot: done.snapshot };
    output.result(&refreshed, || {
        format!("snapshot {} and its timestamp are signed anew\n", done.snapshot)
    });
    Ok(())
}
