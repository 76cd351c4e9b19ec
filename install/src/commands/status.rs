//! `install status`

use std::error::Error;
use std::io;

use cutover_formats::exit::Explain;
use cutover_formats::name::{Product, StageName};
use cutover_formats::tuf::expiry::in_words;
use cutover_formats::version::Version;
use cutover_repository::client::{Remembered, Withdrawal};
use cutover_terminal::{Failure, Output};
use jiff::Timestamp;
use serde::Serialize;

use super::RootArgs;
use crate::audit::{Finding, Problem};
use crate::gate::{ControlError, GateStatus, Maintenance};
use crate::integrity::{self, named};
use crate::journal::{self, Trace};
use crate::lock::{self, Holder};
use crate::maintenance;
use crate::node::Node;
use crate::plan::Operation;
use crate::pool::{self, Depooled};
use crate::root::Root;
use crate::situation::{self, SituationError};
use crate::standing::Standings;
use crate::withdrawn;

/// What runs here.
#[derive(Debug, Serialize)]
struct Status {
    product: Product,
    repository: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<String>,
    current: Option<Version>,
    previous: Option<Version>,
    releases: Vec<Version>,
    gate: Option<GateStatus>,
    /// Who changes the node just now.
    changing: Option<Holder>,
    /// The install that is under way while somebody changes the node, else one that a crash cut off.
    unfinished: Option<Unfinished>,
    /// How the node stood in its pool, while it is out of it.
    depooled: Option<Depooled>,
    /// Until when what this node knows of its repository holds; as of the last look at it.
    metadata: Vec<Metadata>,
    /// Why `current` should not run any more, as of the last look at the repository.
    withdrawn: Option<Withdrawn>,
    /// What `current` lacks for running: its folder, or the interpreter of its environment.
    damage: Vec<Finding>,
    /// Whether there is a gate that could not be asked.
    #[serde(skip)]
    gate_unseen: bool,
    /// What could not be looked at, and why; all else holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unseen: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    role: String,
    version: u64,
    expires: Timestamp,
    days_left: i64,
    expires_soon: bool,
}

#[derive(Debug, Serialize)]
struct Withdrawn {
    channel: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Unfinished {
    operation: Operation,
    to: Version,
    stage: Option<StageName>,
}

/// Shows it; changes nothing, waits for nobody.
pub fn run(root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let mut unseen = Vec::new();
    let gate = seen(gate(&node), &mut unseen).flatten();
    let gate_unseen = !unseen.is_empty();
    let (changing, trace) = under_way(&node.root, output);
    let unfinished = trace.map(|trace| Unfinished {
        operation: trace.opening.operation,
        to: trace.opening.to,
        stage: trace.stages.last().cloned(),
    });
    let remembered = seen(Remembered::read(&node.root.trust()), &mut unseen);
    let current = node.current()?;
    let (mut withdrawn, problems) = withdrawn::known(&node);
    unseen.extend(problems.into_iter().map(told));
    let withdrawal = current.as_ref().and_then(|version| withdrawn.remove(version));
    let now = Timestamp::now();
    let roles = remembered.map(|remembered| remembered.roles).unwrap_or_default();
    let metadata = roles.iter().map(|role| Metadata {
        role: role.name.clone(),
        version: role.version,
        expires: role.expires,
        days_left: role.days_left(now),
        expires_soon: role.expires_soon(now),
    });
    let standings = Standings::load_or_forget(&node.root, |words| output.warn(words));
    let status = Status {
        product: node.settings.product.clone(),
        repository: node.settings.repository.clone(),
        mirrors: node.settings.mirrors.clone(),
        damage: current.as_ref().map(|version| damage(&node, version)).unwrap_or_default(),
        current,
        previous: seen(standings, &mut unseen).and_then(|it| it.previous),
        releases: node.sealed()?.into_iter().collect(),
        gate,
        changing,
        unfinished,
        depooled: seen(pool::depooled(&node), &mut unseen).flatten(),
        metadata: metadata.collect(),
        withdrawn: withdrawal.map(|Withdrawal { channel, reason }| Withdrawn {
            channel: channel.to_string(),
            reason,
        }),
        gate_unseen,
        unseen,
    };
    warn(&status, output);
    if let Some(words) = serves_otherwise(&node, &status) {
        output.warn(words);
    }
    // What the gate says of maintenance it says itself; this is why.
    let _ = maintenance::load(&node.root, now, |words| output.warn(words));
    output.result(&status, || describe(&node, &status));
    Ok(())
}

fn gate(node: &Node) -> Result<Option<GateStatus>, SituationError> {
    Ok(situation::gate(node)?.map(|mut session| session.status()).transpose()?)
}

/// What was looked at; `None`, with a word about it, where it cannot be: whoever asks how a node is gets
/// what there is.
fn seen<T, E>(found: Result<T, E>, unseen: &mut Vec<String>) -> Option<T>
where
    E: Explain + 'static,
{
    found.map_err(|error| unseen.push(told(error))).ok()
}

fn told<E: Explain + 'static>(error: E) -> String {
    let advice =
        if is_denied(&error) { "; ask as the user that the gate runs as, or as root" } else { "" };
    format!("{}{advice}", Failure::from(error).message)
}

/// Whether it is a matter of who asks.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let why = match error.downcast_ref::<SituationError>() {
        Some(SituationError::Gate(ControlError::Lost { why, .. })) => Some(why),
        _ => error.downcast_ref::<io::Error>(),
    };
    why.is_some_and(|why| why.kind() == io::ErrorKind::PermissionDenied)
        || error.source().is_some_and(is_denied)
}

/// What the release that should run lacks for it, as far as a few looks tell.
fn damage(node: &Node, version: &Version) -> Vec<Finding> {
    let prefix = node.root.prefix(version);
    if !prefix.is_dir() {
        return vec![Finding { path: prefix, problem: Problem::Missing }];
    }
    let seal = node.root.seal(version);
    if !seal.is_file() {
        return vec![Finding { path: seal, problem: Problem::Missing }];
    }
    let release = node.descriptor(version).ok();
    release.and_then(|release| integrity::interpreter(&prefix, &release)).into_iter().collect()
}

/// Who changes the node, and its journal. A journal without anybody is looked at once more: that of an
/// install that ended meanwhile is gone, and was not cut off.
fn under_way(root: &Root, output: &Output) -> (Option<Holder>, Option<Trace>) {
    let trace = journal::read(root);
    let (changing, trace) = match lock::holder(root) {
        None if !matches!(trace, Ok(None)) => (None, journal::read(root)),
        changing => (changing, trace),
    };
    let trace = trace.unwrap_or_else(|error| {
        let failure = Failure::from(error);
        output.warn(failure.message);
        failure.hints.iter().for_each(|hint| output.note(hint));
        None
    });
    (changing, trace)
}

/// What must not be overlooked goes to stderr as well, also beside JSON.
fn warn(status: &Status, output: &Output) {
    if let (Some(current), Some(Withdrawn { channel, reason })) =
        (&status.current, &status.withdrawn)
    {
        output.warn(format!(
            "{} {current} is current here and WAS WITHDRAWN from {channel}: {reason}",
            status.product
        ));
    }
    if let (Some(current), false) = (&status.current, status.damage.is_empty()) {
        output.warn(format!("{current} is current here and damaged: {}", named(&status.damage)));
    }
    for why in &status.unseen {
        output.warn(why);
    }
    for soon in status.metadata.iter().filter(|role| role.expires_soon) {
        let Metadata { role, expires, days_left, .. } = soon;
        output.warn(format!(
            "{role}, as this node last saw it, expires at {expires} ({}): \
             `install` looks for a newer one; if there is none, the repository's keepers must sign it",
            in_words(*days_left)
        ));
    }
}

/// Words about a gate that runs something else than `current` names, while nobody is about to change that.
fn serves_otherwise(node: &Node, status: &Status) -> Option<String> {
    let gate = status.gate.as_ref().filter(|gate| gate.lease.is_none())?;
    if status.changing.is_some() {
        return None;
    }
    // Where `current` is damaged, that is said already.
    let expected = node.served(status.current.as_ref()).ok()?;
    let runs = gate.running.as_ref().map(|running| &running.version);
    match (expected, runs) {
        (Some(expected), Some(runs)) if *runs != expected => Some(format!(
            "{expected} is current, but the gate runs {runs}: `install {expected}` has it served"
        )),
        (Some(expected), None) => Some(format!(
            "{expected} is current, but the gate runs no service: its log says why, and \
             `install {expected}` tries again"
        )),
        (None, Some(runs)) => Some(format!(
            "the gate runs {runs}, which is not current; starting the gate anew ends it"
        )),
        _ => None,
    }
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
        ("releases", if releases.is_empty() { "none".to_owned() } else { releases.join(", ") }),
        ("gate", describe_gate(node, status)),
    ];
    lines.splice(2..2, status.mirrors.iter().map(|mirror| ("mirror", mirror.clone())));
    if let Some(gate) = &status.gate {
        if let Some(running) = &gate.running {
            let pid = running.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            lines.push(("service", format!("{}{pid}", running.version)));
            if running.outdated {
                let why = "[service] in node.toml has changed since it was started: \
                           `install apply` starts it anew with that";
                lines.push(("settings", why.to_owned()));
            }
        }
        lines.push(("requests", format!("{} in flight, {} waiting", gate.in_flight, gate.waiting)));
        if let Some(maintenance) = &gate.maintenance {
            lines.push(("maintenance", describe_maintenance(maintenance)));
        }
    }
    if let Some(Withdrawn { channel, reason }) = &status.withdrawn {
        lines.push(("WITHDRAWN", format!("current was withdrawn from {channel}: {reason}")));
    }
    if !status.damage.is_empty() {
        lines.push(("DAMAGED", named(&status.damage)));
    }
    if let Some(first) = status.metadata.iter().min_by_key(|role| role.expires) {
        let Metadata { role, expires, days_left, .. } = first;
        lines.push(("expires", format!("{role} first, {expires} ({})", in_words(*days_left))));
    }
    lines.extend(describe_change(status.changing.as_ref(), status.unfinished.as_ref()));
    if let Some(Depooled { since, .. }) = &status.depooled {
        lines.push(("pool", format!("out of it since {since}")));
    }
    lines.iter().map(|(label, value)| format!("{label:<11} {value}\n")).collect()
}

fn describe_change(
    changing: Option<&Holder>,
    unfinished: Option<&Unfinished>,
) -> Option<(&'static str, String)> {
    let what = unfinished.map(|Unfinished { operation, to, stage }| {
        let stage = stage.as_ref().map_or("its begin", StageName::as_str);
        format!("{operation} of {to}, at {stage}")
    });
    match (changing, what) {
        (Some(holder), Some(what)) => Some(("under way", format!("{what}: {holder}"))),
        (Some(holder), None) => Some(("under way", holder.to_string())),
        (None, Some(what)) => Some(("unfinished", format!("{what}: `install resume` ends it"))),
        (None, None) => None,
    }
}

fn describe_maintenance(Maintenance { until, message }: &Maintenance) -> String {
    let until = until.map_or_else(
        || "until `install maintenance off`".to_owned(),
        |until| format!("until {until:.0}"),
    );
    message.iter().fold(until, |until, message| format!("{until}: {message}"))
}

fn describe_gate(node: &Node, status: &Status) -> String {
    match (&node.settings.gate, &status.gate) {
        (None, _) => "none".to_owned(),
        (Some(settings), None) if status.gate_unseen => {
            format!("should listen on {}; it cannot be asked", settings.listen)
        }
        (Some(settings), None) => format!("not running (would listen on {})", settings.listen),
        (Some(_), Some(gate)) => format!("{} on {}: {}", gate.state, gate.listen, gate.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_says_until_when() {
        let until = Some(Timestamp::UNIX_EPOCH);
        let message = Some("moving house".to_owned());
        assert_eq!(
            describe_maintenance(&Maintenance { until, message }),
            "until 1970-01-01T00:00:00Z: moving house"
        );
        assert_eq!(
            describe_maintenance(&Maintenance::default()),
            "until `install maintenance off`"
        );
    }

    #[test]
    fn what_is_under_way_was_not_cut_off() {
        let (operation, to) = (Operation::Install, Version::new(1, 1, 0));
        let unfinished = Unfinished { operation, to, stage: None };
        let (pid, since, doing) = (7, Timestamp::UNIX_EPOCH, "install 1.1.0".to_owned());
        let holder = Holder { pid, since, doing };
        let (label, text) = describe_change(Some(&holder), Some(&unfinished)).unwrap();
        assert_eq!(label, "under way");
        assert_eq!(
            text,
            "install of 1.1.0, at its begin: `install 1.1.0` (process 7, since 1970-01-01T00:00:00Z)"
        );
        let (label, text) = describe_change(None, Some(&unfinished)).unwrap();
        assert_eq!(
            (label, text.as_str()),
            ("unfinished", "install of 1.1.0, at its begin: `install resume` ends it")
        );
    }
}
