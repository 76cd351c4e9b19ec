//! `install status`

use cutover_formats::name::Product;
use cutover_formats::version::Version;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::cli::RootArgs;
use crate::gate::GateStatus;
use crate::journal;
use crate::node::Node;
use crate::receipt::Operation;
use crate::standing::Standings;

/// What runs here.
#[derive(Debug, Serialize)]
struct Status {
    product: Product,
    repository: String,
    current: Option<Version>,
    previous: Option<Version>,
    releases: Vec<Version>,
    gate: Option<GateStatus>,
    /// An install that a crash cut off, or that is under way.
    unfinished: Option<Unfinished>,
}

#[derive(Debug, Serialize)]
struct Unfinished {
    operation: Operation,
    to: Version,
    stage: Option<crate::plan::Stage>,
}

/// Shows it; changes nothing, waits for nobody.
pub fn run(root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let gate = match node.gate()? {
        Some(mut session) => Some(session.status()?),
        None => None,
    };
    let unfinished = journal::read(&node.root)?.map(|trace| Unfinished {
        operation: trace.opening.operation,
        to: trace.opening.to,
        stage: trace.stages.last().copied(),
    });
    let status = Status {
        product: node.settings.product.clone(),
        repository: node.settings.repository.clone(),
        current: node.current()?,
        previous: Standings::load(&node.root)?.previous,
        releases: node.sealed()?.into_iter().collect(),
        gate,
        unfinished,
    };
    output.result(&status, || describe(&node, &status));
    Ok(())
}

fn describe(node: &Node, status: &Status) -> String {
    let name = |version: &Option<Version>| {
        version.as_ref().map_or_else(|| "none".to_owned(), Version::to_string)
    };
    let releases: Vec<String> = status.releases.iter().map(Version::to_string).collect();
    let mut lines = vec![
        ("product", status.product.to_string()),
        ("repository", status.repository.clone()),
        ("current", name(&status.current)),
        ("previous", name(&status.previous)),
        ("releases", releases.join(", ")),
        ("gate", describe_gate(node, status.gate.as_ref())),
    ];
    if let Some(gate) = &status.gate {
        if let Some(running) = &gate.running {
            let pid = running.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            lines.push(("service", format!("{}{pid}", running.version)));
        }
        lines.push(("requests", format!("{} in flight, {} waiting", gate.in_flight, gate.waiting)));
    }
    if let Some(Unfinished { operation, to, stage }) = &status.unfinished {
        let stage = stage.map_or("its begin", crate::plan::Stage::name);
        lines.push(("unfinished", format!("{operation} of {to}, at {stage}")));
    }
    lines.iter().map(|(label, value)| format!("{label:<11} {value}\n")).collect()
}

fn describe_gate(node: &Node, gate: Option<&GateStatus>) -> String {
    match (&node.settings.gate, gate) {
        (None, _) => "none".to_owned(),
        (Some(settings), None) => format!("not running (would listen on {})", settings.listen),
        (Some(_), Some(gate)) => format!("{} on {}: {}", gate.state, gate.listen, gate.reason),
    }
}
