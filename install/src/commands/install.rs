//! `install VERSION|REQUIREMENT|CHANNEL`

use std::time::Instant;

use cutover_formats::descriptor::Swap;
use cutover_formats::version::Wanted;
use cutover_terminal::{Failure, Output, Table, bytes};
use jiff::Timestamp;

use super::{lock, resolve_wanted, store};
use crate::cli::RootArgs;
use crate::node::Node;
use crate::plan::{Changeover, Plan, Stage, plan};
use crate::receipt::{Operation, Receipt, StageTime};
use crate::transaction::{Transaction, report, run as transact};

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

/// Installs.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    if args.dry_run {
        return super::plan::run(args, root, output);
    }
    let node = root.node()?;
    let wanted = args.wanted.as_ref().map_or_else(String::new, |wanted| format!(" {wanted}"));
    let _lock = lock(&node, &format!("install{wanted}"), output)?;
    let began = Timestamp::now();
    let clock = Instant::now();
    let store = store(&node)?;
    let release = resolve_wanted(&node, store.as_ref(), args.wanted.as_ref())?;
    let resolved = StageTime {
        stage: Stage::Resolve,
        seconds: clock.elapsed().as_secs_f64(),
        what: format!("{} {}, signed", release.descriptor.product, release.descriptor.version),
    };
    report(output, &resolved);
    let mut gate = node.gate()?;
    let situation = node.situation(gate.as_mut())?;
    let swap = args.swap.or(node.settings.service.swap);
    let plan = plan(Operation::Install, &situation, &release.descriptor, swap);
    plan.notes.iter().for_each(|note| output.warn(note));
    if plan.changeover == Changeover::None {
        output.result(&plan, || format!("{} {} runs already", plan.product, plan.to));
        return Ok(());
    }
    let store = Some(store.as_ref());
    let transaction =
        Transaction { node: &node, plan: &plan, release: &release, store, gate, output, resolved };
    let receipt = transact(transaction, began)?;
    output.result(&receipt, || summary(&node, &plan, &receipt));
    Ok(())
}

/// What an install or a rollback came to, for people.
pub(super) fn summary(node: &Node, plan: &Plan, receipt: &Receipt) -> String {
    let from = receipt.from.as_ref().map_or_else(String::new, |from| format!(" (was {from})"));
    let mut text = format!("{} {} runs{from}", receipt.product, receipt.to);
    if plan.changeover == Changeover::Files {
        text = format!("{} {} is current{from}", receipt.product, receipt.to);
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

/// A plan as a table.
pub(super) fn show(plan: &Plan) -> String {
    let from = plan.from.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let mut table = Table::new(["stage", "what it does"]);
    for step in &plan.steps {
        table.row([step.stage.to_string(), step.what.clone()]);
    }
    let mut text = format!("{} of {} {}, from {from}\n", plan.operation, plan.product, plan.to);
    if table.is_empty() {
        text.push_str("it runs already: nothing is to be done\n");
    } else {
        text.push_str(&table.to_string());
    }
    for note in &plan.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}
