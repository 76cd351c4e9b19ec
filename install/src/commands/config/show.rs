//! `install config show`

use cutover_formats::input::{Input, InputName, Kind, Value};
use cutover_formats::name::Product;
use cutover_formats::version::Version;
use cutover_terminal::{Failure, Output, Table};
use serde::Serialize;

use super::{Args, Found};
use crate::configure::inputs::{Origin, Settled, settle};
use crate::node::Node;

#[derive(Serialize)]
struct Shown {
    product: Product,
    version: Version,
    inputs: Vec<Row>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    name: InputName,
    #[serde(rename = "type")]
    kind: Kind,
    secret: bool,
    required: bool,
    /// Never a secret.
    value: Option<Value>,
    from: From,
    description: String,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Default,
    Node,
    /// Nobody gives it, and nobody must.
    Nobody,
    /// See the problems.
    Wrong,
}

pub(super) fn run(args: &Args, node: &Node, output: &Output) -> Result<(), Failure> {
    let Found { release, .. } = Found::look(args, node, output)?;
    let elsewhere = node.inputs_elsewhere(&release)?;
    let settlement = settle(&release.inputs, &node.settings.inputs, &elsewhere);
    let rows = settlement.inputs.iter().map(|(name, (input, settled))| row(name, input, *settled));
    let shown = Shown {
        product: release.product.clone(),
        version: release.version.clone(),
        inputs: rows.collect(),
        problems: settlement.problems.iter().map(ToString::to_string).collect(),
    };
    shown.problems.iter().for_each(|problem| output.warn(problem));
    output.result(&shown, || describe(&shown));
    Ok(())
}

fn row(name: &InputName, input: &Input, settled: Settled<'_>) -> Row {
    let (value, from) = match settled {
        Settled::Plain(value, Origin::Default) => (Some(value.clone()), From::Default),
        Settled::Plain(value, Origin::Node) => (Some(value.clone()), From::Node),
        Settled::Secret(_) => (None, From::Node),
        Settled::Absent => (None, From::Nobody),
        Settled::Wrong => (None, From::Wrong),
    };
    let Input { kind, secret, required, ref description, .. } = *input;
    let (name, description) = (name.clone(), description.clone());
    Row { name, kind, secret, required, value, from, description }
}

fn describe(shown: &Shown) -> String {
    if shown.inputs.is_empty() {
        return format!("{} {} asks for nothing\n", shown.product, shown.version);
    }
    let mut table = Table::new(["input", "type", "value", "from", "description"]);
    for row in &shown.inputs {
        let value = match (&row.value, row.from) {
            (Some(value), _) => value.to_string(),
            (None, From::Node) => "<secret>".to_owned(),
            (None, _) => String::new(),
        };
        let from = match row.from {
            From::Default => "the release",
            From::Node => "node.toml",
            From::Nobody => "nobody",
            From::Wrong => "MISSING",
        };
        let cells = [row.name.to_string(), row.kind.to_string(), value, from.to_owned()];
        let [name, kind, value, from] = cells;
        table.row([name, kind, value, from, row.description.clone()]);
    }
    format!(
        "{} {}, with the values of [inputs] in node.toml\n{table}",
        shown.product, shown.version
    )
}
