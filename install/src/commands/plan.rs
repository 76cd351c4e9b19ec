//! A plan as people read it: `install plan`, and `--dry-run` of whatever has a plan.

use cutover_formats::period::Period;
use cutover_terminal::Table;

use crate::plan::{Act, Operation, Placed, Plan, Step};

/// A plan as a table.
pub(super) fn show(plan: &Plan) -> String {
    let from = plan.from.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let mut table = Table::new(["stage", "origin", "limits", "checks", "what it does"]);
    for step in &plan.steps {
        let what = step.what.replace('\n', " ");
        let limits = match step.act {
            Act::Skip => String::new(),
            _ => limits(step.timeout, step.retries).join(", "),
        };
        table.row([step.stage.to_string(), origins(step), limits, checks(step), what]);
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
            let mut said = vec![check.probe.to_string()];
            said.extend(limits(check.timeout, check.retries));
            let said = said.join(", ");
            text.push_str(&format!("check {side} {} ({origin}): {said}\n", step.stage));
        }
    }
    if let Some(contents) = &plan.contents {
        text.push_str(&format!("contents: {contents}\n"));
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

/// How long something may take and how often it is tried, as far as either is said.
fn limits(timeout: Option<Period>, retries: u32) -> Vec<String> {
    let timeout = timeout.map(|timeout| timeout.to_string());
    let tries = (retries > 0).then(|| format!("{} tries", retries.saturating_add(1)));
    [timeout, tries].into_iter().flatten().collect()
}

fn checks(step: &Step) -> String {
    let count = |checks: &[Placed], side: &str| match checks.len() {
        0 => None,
        count => Some(format!("{count} {side}")),
    };
    let counts = [count(&step.before, "before"), count(&step.after, "after")];
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
