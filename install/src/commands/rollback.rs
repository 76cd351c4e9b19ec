//! `install rollback`

use cutover_formats::descriptor::Swap;
use cutover_formats::version::Version;
use cutover_terminal::{Failure, Output};

use super::RootArgs;
use super::install::{depth, swap, tell};
use super::plan::show;
use crate::installer::{Installer, OfWithdrawn};

/// Where to, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go to this release [default: the one that ran before]
    #[arg(long, value_name = "VERSION")]
    pub to: Option<Version>,
    /// Change over this way: blue-green, hold or backoff
    #[arg(long, value_name = "HOW", value_parser = swap)]
    pub swap: Option<Swap>,
    /// Go there although the release was withdrawn
    #[arg(long)]
    pub accept_withdrawn: bool,
    /// Hold all contents of the release against what was signed before; without it names, kinds, sizes
    /// and links are looked at
    #[arg(long)]
    pub deep: bool,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Goes back to a release that is on the node. Needs no repository.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let installer = Installer::of(root.node()?).looking_at(depth(args.deep));
    let withdrawn = if args.accept_withdrawn { OfWithdrawn::Accept } else { OfWithdrawn::Refuse };
    if args.dry_run {
        let plan = installer.plan_rollback(args.to.as_ref(), withdrawn, args.swap, output)?;
        output.result(&plan, || show(&plan));
        return Ok(());
    }
    super::heed_signals(output)?;
    let done = installer.rollback(args.to.as_ref(), withdrawn, args.swap, output)?;
    tell(&installer, &done, output)
}
