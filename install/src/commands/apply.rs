//! `install apply`

use cutover_formats::descriptor::Swap;
use cutover_terminal::{Failure, Output};

use super::RootArgs;
use super::install::{summary, swap};
use super::plan::show;
use crate::installer::{Done, Installer, Renewing};

/// When, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Have the service start anew although nothing would be rendered otherwise: for changed files that
    /// it reads through links
    #[arg(long)]
    pub restart: bool,
    /// Change over this way, whatever the release says: blue-green, hold or backoff
    #[arg(long, value_name = "HOW", value_parser = swap)]
    pub swap: Option<Swap>,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Brings what has changed in node.toml or in secrets to the release that runs. Needs no repository.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let installer = Installer::of(root.node()?);
    let renewing = if args.restart { Renewing::Anyway } else { Renewing::WhatChanged };
    if args.dry_run {
        let plan = installer.plan_apply(renewing, args.swap, output)?;
        output.result(&plan, || show(&plan));
        return Ok(());
    }
    super::heed_signals(output)?;
    let Done { plan, receipt } = installer.apply(renewing, args.swap, output)?;
    match &receipt {
        Some(receipt) => output.result(receipt, || summary(installer.node(), &plan, receipt)),
        None => {
            output.note(
                "files that [config] links to are seen as they are; `install apply --restart` has \
                 the service read them anew",
            );
            output.result(&plan, || {
                let (product, to) = (&plan.product, &plan.to);
                format!("nothing has changed in the configuration of {product} {to}: it runs on")
            });
        }
    }
    Ok(())
}
