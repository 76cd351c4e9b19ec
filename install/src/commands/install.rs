//! `install VERSION|REQUIREMENT|CHANNEL`, and `install plan …`

use cutover_formats::descriptor::Swap;
use cutover_formats::version::Wanted;
use cutover_terminal::{Failure, Output, bytes};

use super::RootArgs;
use super::plan::show;
use crate::audit::Depth;
use crate::configure::stale::Stale;
use crate::installer::{Done, Installer};
use crate::node::Node;
use crate::plan::{Changeover, Operation, Plan};
use crate::receipt::Receipt;

/// What to install and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A version (1.1.0), a requirement (^1.0) or a channel (stable) [default: the channel in
    /// node.toml]
    #[arg(value_name = "VERSION|REQUIREMENT|CHANNEL")]
    pub wanted: Option<Wanted>,
    /// Change over this way, whatever the release says: blue-green, hold or backoff
    #[arg(long, value_name = "HOW", value_parser = swap)]
    pub swap: Option<Swap>,
    /// Hold all contents of a release that is on this node already against what was signed; without it
    /// names, kinds, sizes and links are looked at
    #[arg(long)]
    pub deep: bool,
    /// Print the plan and change nothing, like `install plan`
    #[arg(long)]
    pub dry_run: bool,
}

/// Parses a way to change over.
pub(super) fn swap(text: &str) -> Result<Swap, String> {
    [Swap::BlueGreen, Swap::Hold, Swap::Backoff]
        .into_iter()
        .find(|swap| swap.to_string() == text)
        .ok_or_else(|| "it is blue-green, hold or backoff".to_owned())
}

/// How closely a release that is on the node is looked at.
pub(super) fn depth(deep: bool) -> Depth {
    if deep { Depth::Contents } else { Depth::Sizes }
}

/// Installs.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    if args.dry_run {
        return plan(args, root, output);
    }
    super::heed_signals(output)?;
    let installer = Installer::of(root.node()?).looking_at(depth(args.deep));
    let done = installer.install(args.wanted.as_ref(), args.swap, output)?;
    tell(&installer, &done, output)
}

/// Prints what an install would do, or what it would refuse. Beside fresher metadata in `state/trust`,
/// nothing changes.
pub fn plan(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let installer = Installer::of(root.node()?).looking_at(depth(args.deep));
    let plan = installer.plan(args.wanted.as_ref(), args.swap, output)?;
    output.result(&plan, || show(&plan));
    Ok(())
}

/// The result of an install or a rollback.
pub(super) fn tell(installer: &Installer, done: &Done, output: &Output) -> Result<(), Failure> {
    let plan = &done.plan;
    match &done.receipt {
        None => {
            let node = installer.node();
            let release = node.descriptor(&plan.to)?;
            Stale::look(node, &release)?.warn(node, &release, output);
            output.result(plan, || format!("{} {} runs already", plan.product, plan.to));
        }
        Some(receipt) => output.result(receipt, || summary(installer.node(), plan, receipt)),
    }
    Ok(())
}

/// What an install, a rollback or an apply came to, for people.
pub(super) fn summary(node: &Node, plan: &Plan, receipt: &Receipt) -> String {
    let from = receipt.from.as_ref().map_or_else(String::new, |from| format!(" (was {from})"));
    let mut text = format!("{} {} runs{from}", receipt.product, receipt.to);
    if plan.changeover == Changeover::Files {
        text = format!("{} {} is current{from}", receipt.product, receipt.to);
    }
    if receipt.operation == Operation::Apply {
        let verb = if plan.changeover == Changeover::Files { "has" } else { "runs with" };
        text = format!("{} {} {verb} its new configuration", receipt.product, receipt.to);
    }
    if let Some(figures) = &receipt.gate {
        text.push_str(&format!(
            "; dark {:.2} s, {} held, {} refused, {} failed",
            figures.dark, figures.held, figures.refused, figures.failed
        ));
    }
    text.push_str(&format!(
        "\nfetched {}; receipt {}\n",
        bytes(receipt.fetched),
        node.root.receipts().join(format!("{}.json", receipt.id)).display()
    ));
    text
}
