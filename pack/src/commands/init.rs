//! `pack init`: a first `release.toml` for a source tree.

use std::path::PathBuf;

use cutover_terminal::{Failure, Output};

/// What `pack init` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The source tree.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// Looks at the tree and writes the file.
pub(crate) fn run(_args: &Args, _output: &Output) -> Result<(), Failure> {
    Err(Failure::new(cutover_formats::exit::Exit::Unexpected, "not in this build"))
}
