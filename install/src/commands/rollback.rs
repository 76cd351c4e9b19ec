//! `install rollback`

use cutover_formats::descriptor::Swap;
use cutover_formats::version::Version;
use cutover_terminal::{Exit, Failure, Output};
use jiff::Timestamp;

use super::install::{show, summary, swap};
use super::lock;
use crate::cli::RootArgs;
use crate::disk::{self, DiskError};
use crate::node::Node;
use crate::plan::{Changeover, Stage, plan};
use crate::receipt::{Operation, StageTime};
use crate::resolve::Release;
use crate::standing::Standings;
use crate::transaction::{Transaction, run as transact};

/// Where to, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go to this release [default: the one that ran before]
    #[arg(long, value_name = "VERSION")]
    pub to: Option<Version>,
    /// Change over this way: blue-green, hold or backoff
    #[arg(long, value_name = "HOW", value_parser = swap)]
    pub swap: Option<Swap>,
    /// Print the plan and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Goes back to a release that is on the node. Needs no repository.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let _lock = lock(&node, "install rollback", output)?;
    let to = destination(args, &node)?;
    let path = node.root.descriptor(&to);
    let bytes = std::fs::read(&path).map_err(|error| DiskError::new("read", &path, error))?;
    let signed_by = disk::read_json(&node.root.signed_by(&to))?;
    let release = Release { descriptor: node.descriptor(&to)?, bytes, signed_by };
    let mut gate = node.gate()?;
    let situation = node.situation(gate.as_mut())?;
    let swap = args.swap.or(node.settings.service.swap);
    let plan = plan(Operation::Rollback, &situation, &release.descriptor, swap);
    if args.dry_run {
        output.result(&plan, || show(&plan));
        return Ok(());
    }
    plan.notes.iter().for_each(|note| output.warn(note));
    if plan.changeover == Changeover::None {
        output.result(&plan, || format!("{} {} runs already", plan.product, plan.to));
        return Ok(());
    }
    let resolved =
        StageTime { stage: Stage::Resolve, seconds: 0.0, what: format!("{to}, on this node") };
    let transaction = Transaction {
        node: &node,
        plan: &plan,
        release: &release,
        store: None,
        gate,
        output,
        resolved,
    };
    let receipt = transact(transaction, Timestamp::now())?;
    output.result(&receipt, || summary(&node, &plan, &receipt));
    Ok(())
}

fn destination(args: &Args, node: &Node) -> Result<Version, Failure> {
    let sealed = node.sealed()?;
    let previous = Standings::load(&node.root)?.previous;
    let to = args.to.clone().or(previous).ok_or_else(|| {
        Failure::new(Exit::NotFound, "no release ran before the one that runs")
            .hint("nothing was changed; `install list` shows what is on this node")
    })?;
    if sealed.contains(&to) {
        return Ok(to);
    }
    Err(Failure::new(Exit::NotFound, format!("{to} is not on this node"))
        .hint(format!("nothing was changed; `install {to}` fetches it from the repository")))
}
