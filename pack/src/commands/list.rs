//! `pack list`.

use cutover_terminal::{Failure, Output};

/// What `pack list` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Does it.
pub(crate) fn run(_args: &Args, _output: &Output) -> Result<(), Failure> {
    Err(Failure::new(cutover_formats::exit::Exit::Unexpected, "not in this build"))
}
