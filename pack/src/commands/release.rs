//! `pack release`: a tag becomes a signed release.

use std::path::PathBuf;

use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_terminal::{Failure, Output};

use crate::cli::RepoArgs;

/// What `pack release` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tag to release; without it, the tag at HEAD that fits the tag pattern of release.toml.
    #[arg(value_name = "TAG", conflicts_with = "tree")]
    pub(crate) tag: Option<String>,
    /// The git work tree, or any folder in it.
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "tree")]
    pub(crate) source: PathBuf,
    /// Release a staging folder without version control instead.
    #[arg(long, value_name = "DIR", requires = "version")]
    pub(crate) tree: Option<PathBuf>,
    /// The version of the staging folder.
    #[arg(long, value_name = "VERSION", requires = "tree")]
    pub(crate) version: Option<Version>,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Point this channel at the release as well, in the same step.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<Channel>,
    /// Compression level of zstd, 1 to 19.
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) level: i32,
    /// The product; without it, the one that release.toml names.
    #[arg(long, value_name = "NAME")]
    pub(crate) product: Option<Product>,
    /// Print what would be done; write nothing to the repository.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Makes the release.
pub(crate) fn run(args: &Args, _output: &Output) -> Result<(), Failure> {
    let _ = args.repo.token();
    Err(Failure::new(cutover_formats::exit::Exit::Unexpected, "not in this build"))
}
