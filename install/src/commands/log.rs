//! `install log`

use cutover_terminal::{Exit, Failure, NONE, Output, Table, bytes};
use serde::Serialize;

use super::RootArgs;
use crate::plan::Operation;
use crate::receipt::{CheckPassed, History, Outcome, Receipt};

/// Which installs to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show this one, with its stages; the begin of its id is enough
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Show the last one, with its stages
    #[arg(long, conflicts_with = "id")]
    pub last: bool,
    /// How many to list, the latest
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub number: usize,
}

#[derive(Serialize)]
struct Log<'a> {
    receipts: &'a [Receipt],
    /// Earlier ones that are not listed.
    earlier: usize,
}

/// Lists what installs did, or shows one of them.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let History { receipts, unreadable } = History::load(&node.root)?;
    if unreadable > 0 {
        output.warn(format!(
            "{unreadable} lines of {} cannot be understood",
            node.root.history().display()
        ));
    }
    let one = match (&args.id, args.last) {
        (Some(id), _) => Some(find(&receipts, id)?),
        (None, true) => Some(receipts.last().ok_or_else(nothing)?),
        (None, false) => None,
    };
    if let Some(receipt) = one {
        output.result(receipt, || story(receipt));
        return Ok(());
    }
    let earlier = receipts.len().saturating_sub(args.number);
    let log = Log { receipts: &receipts[earlier..], earlier };
    output.result(&log, || table(&log));
    Ok(())
}

fn nothing() -> Failure {
    Failure::new(Exit::NotFound, "nothing was ever installed on this node")
}

fn find<'r>(receipts: &'r [Receipt], id: &str) -> Result<&'r Receipt, Failure> {
    let found: Vec<_> = receipts.iter().filter(|receipt| receipt.id.starts_with(id)).collect();
    match found[..] {
        [receipt] => Ok(receipt),
        [] => Err(Failure::new(Exit::NotFound, format!("no install has an id like `{id}`"))
            .hint("`install log` lists them")),
        _ => {
            let exact = found.iter().find(|receipt| receipt.id == id);
            exact.copied().ok_or_else(|| {
                let message =
                    format!("{} installs have an id that begins with `{id}`", found.len());
                Failure::new(Exit::Usage, message).hint("give more of it")
            })
        }
    }
}

fn table(log: &Log<'_>) -> String {
    if log.receipts.is_empty() {
        return "nothing was ever installed on this node".to_owned();
    }
    let mut table = Table::new([
        "when", "what", "from", "to", "outcome", "seconds", "dark", "held", "refused", "failed",
        "id",
    ]);
    for receipt in log.receipts {
        let gate = receipt.gate.as_ref();
        let count = |number: Option<u64>| number.map_or(NONE.to_owned(), |it| it.to_string());
        table.row([
            format!("{:.0}", receipt.began),
            receipt.operation.to_string(),
            receipt.from.as_ref().map_or(NONE.to_owned(), ToString::to_string),
            receipt.to.to_string(),
            outcome(receipt).to_owned(),
            format!("{:.2}", seconds(receipt)),
            gate.map_or(NONE.to_owned(), |figures| format!("{:.2}", figures.dark)),
            count(gate.map(|figures| figures.held)),
            count(gate.map(|figures| figures.refused)),
            count(gate.map(|figures| figures.failed)),
            receipt.id.clone(),
        ]);
    }
    match log.earlier {
        0 => table.to_string(),
        earlier => format!("{table}and {earlier} earlier ones (--number)\n"),
    }
}

fn seconds(receipt: &Receipt) -> f64 {
    receipt.ended.duration_since(receipt.began).as_secs_f64()
}

fn outcome(receipt: &Receipt) -> &'static str {
    match receipt.outcome {
        Outcome::Done => "done",
        Outcome::Unchanged { .. } => "unchanged",
        Outcome::SwitchedBack { .. } => "switched back",
    }
}

/// One install, stage by stage.
fn story(receipt: &Receipt) -> String {
    let from = receipt.from.as_ref().map_or_else(String::new, |from| format!(", from {from}"));
    let (operation, product, to) = (receipt.operation, &receipt.product, &receipt.to);
    let mut text = match operation {
        Operation::Apply => format!("apply to {product} {to}: {}\n", outcome(receipt)),
        _ => format!("{operation} of {product} {to}{from}: {}\n", outcome(receipt)),
    };
    if let Outcome::Unchanged { reason } | Outcome::SwitchedBack { reason } = &receipt.outcome {
        text.push_str(&format!("because {reason}\n"));
    }
    let (began, took) = (receipt.began, seconds(receipt));
    text.push_str(&format!("began {began:.0}, took {took:.2} s"));
    text.push_str(&format!(", fetched {}\n", bytes(receipt.fetched)));
    if let Some(sha256) = receipt.descriptor {
        text.push_str(&format!("descriptor {sha256}"));
        let signed_by = receipt.signed_by.as_ref();
        text.push_str(&signed_by.map_or_else(String::new, |it| format!(", signed by {it}")));
        text.push('\n');
    }
    if let Some(figures) = &receipt.gate {
        text.push_str(&format!(
            "clients: dark {:.2} s, {} held (at most {:.2} s), {} refused, {} failed\n",
            figures.dark, figures.held, figures.longest_wait, figures.refused, figures.failed
        ));
    }
    if receipt.resumed {
        text.push_str(
            "it was cut off and ended afterwards: stages before that are not on record\n",
        );
    }
    let mut table = Table::new(["stage", "seconds", "what"]);
    for time in &receipt.stages {
        table.row([time.stage.to_string(), format!("{:.2}", time.seconds), time.what.clone()]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{table}"));
    }
    for CheckPassed { stage, when, what } in &receipt.checks {
        text.push_str(&format!("check {when} {stage} held: {what}\n"));
    }
    for warning in &receipt.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}
