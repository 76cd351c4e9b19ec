//! `pack repo apply`: a change that was signed elsewhere is published.

use std::path::PathBuf;

use cutover_publish::apply;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::repository::RepoArgs;
use crate::repository::{Opened, notes};

/// What `pack repo apply` takes; of the keys only those of snapshot and timestamp are used.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Copies of one pending change, each with some of the signatures.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    repo: RepoArgs,
}

#[derive(Serialize)]
struct Applied {
    published: bool,
    snapshot: u64,
}

/// Publishes it; where signatures are missing, says whose.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.repo)?;
    let notes = notes(output);
    let snapshot = apply::apply(&opened.repo(&notes), &args.files)?;
    let applied = Applied { published: true, snapshot };
    output.result(&applied, || format!("published (snapshot {snapshot})\n"));
    Ok(())
}
