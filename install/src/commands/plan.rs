//! `install plan …`

use cutover_formats::stage::Check;
use cutover_terminal::{Failure, Output, Table};

use super::install::Args;
use crate::cli::RootArgs;
use crate::installer::Installer;
use crate::plan::{Act, Placed, Plan, Step};
use crate::receipt::Operation;

/// Prints what an install would do. Beside fresher metadata in `state/trust`, nothing changes.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let plan = Installer::of(root.node()?).plan(args.wanted.as_ref(), args.swap, output)?;
    output.result(&plan, || show(&plan));
    Ok(())
}

/// A plan as a table.
pub(super) fn show(plan: &Plan) -> String {
    let from = plan.from.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let mut table = Table::new(["stage", "origin", "limits", "checks", "what it does"]);
    for step in &plan.steps {
        let what = step.what.replace('\n', " ");
        table.row([step.stage.to_string(), origins(step), limits(step), checks(step), what]);
    }
    let mut text = format!("{} of {} {}, from {from}\n", plan.operation, plan.product, plan.to);
    if plan.operation == Operation::Apply {
        text = format!("apply to {} {}\n", plan.product, plan.to);
    }
    if table.is_empty() {
        text.push_str(match plan.operation {
            Operation::Apply => "nothing would be rendered otherwise: nothing is to be done\n",
            _ => "it runs already: nothing is to be done\n",
        });
    } else {
        text.push_str(&table.to_string());
    }
    for step in &plan.steps {
        let all = step.before.iter().map(|it| ("before", it));
        for (side, placed) in all.chain(step.after.iter().map(|it| ("after", it))) {
            let Placed { origin, check } = placed;
            let limits = check_limits(check);
            text.push_str(&format!(
                "check {side} {} ({origin}): {}{limits}\n",
                step.stage, check.probe
            ));
        }
    }
    for note in &plan.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

fn origins(step: &Step) -> String {
    let origins: Vec<String> = step.origins.iter().map(ToString::to_string).collect();
    origins.join("+")
}

/// How long it may take and how often it is tried.
fn limits(step: &Step) -> String {
    let timeout = step.timeout.map(|timeout| timeout.to_string());
    let tries = (step.retries > 0).then(|| format!("{} tries", step.retries.saturating_add(1)));
    match step.act {
        Act::Skip => String::new(),
        _ => [timeout, tries].into_iter().flatten().collect::<Vec<_>>().join(", "),
    }
}

/// What is said of them; without a word it is made once.
fn check_limits(check: &Check) -> String {
    let timeout = check.timeout.map(|timeout| timeout.to_string());
    let tries = (check.retries > 0).then(|| format!("{} tries", check.retries.saturating_add(1)));
    let said: Vec<String> = [timeout, tries].into_iter().flatten().collect();
    if said.is_empty() { String::new() } else { format!(", {}", said.join(", ")) }
}

fn checks(step: &Step) -> String {
    let count = |checks: &[Placed], side: &str| match checks.len() {
        0 => None,
        count => Some(format!("{count} {side}")),
    };
    let counts = [count(&step.before, "before"), count(&step.after, "after")];
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
