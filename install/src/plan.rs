//! What an install will do, decided before anything is done.
//!
//! [`plan`] is pure: it sees the node's situation and the release, and leaves the executor no
//! choice. The same plan is what `install plan` prints.

use std::collections::BTreeSet;

use cutover_formats::descriptor::{Descriptor, Swap};
use cutover_formats::name::Product;
use cutover_formats::version::Version;
use serde::{Deserialize, Serialize};

use crate::receipt::Operation;

/// A named step of an install. They are gone through in the order of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Find the release in signed metadata.
    Resolve,
    /// See that the node has what the release needs.
    Requires,
    /// Bring the contents.
    Fetch,
    /// Hold them against the signed digests.
    Verify,
    /// Create the prefix.
    Unpack,
    /// Build the environment inside it.
    Build,
    /// Link the node's own files into it.
    Configure,
    /// Requests begin to wait.
    Hold,
    /// Requests are told to come back.
    Backoff,
    /// Drain and stop the release that runs.
    Stop,
    /// Start the new release.
    Start,
    /// Wait until it is healthy.
    Health,
    /// Rename the symlink: the commit point.
    Switch,
    /// Requests go to the new release.
    Open,
    /// Drain and stop the release that ran before.
    Drain,
    /// Write the receipt, mark the release good, prune.
    Settle,
}

impl Stage {
    /// The stage's name, as in receipts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Requires => "requires",
            Self::Fetch => "fetch",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
            Self::Build => "build",
            Self::Configure => "configure",
            Self::Hold => "hold",
            Self::Backoff => "backoff",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Health => "health",
            Self::Switch => "switch",
            Self::Open => "open",
            Self::Drain => "drain",
            Self::Settle => "settle",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What the planner knows of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// What `current` names.
    pub current: Option<Version>,
    /// Prefixes that are whole.
    pub sealed: BTreeSet<Version>,
    /// The gate.
    pub gate: GateSituation,
}

/// What the planner knows of the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateSituation {
    /// `node.toml` has none.
    None,
    /// It is configured but does not run.
    Down,
    /// It runs.
    Up {
        /// The release that it serves.
        serving: Option<Version>,
    },
}

/// How the node changes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changeover {
    /// Nothing changes.
    None,
    /// Only the symlink: no gate runs, or nothing is to be served.
    Files,
    /// The newcomer starts beside what runs, if anything does.
    BlueGreen,
    /// Stop, switch, start; requests wait.
    Hold,
    /// Stop, switch, start; requests are refused.
    Backoff,
}

/// One stage with what it will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The stage.
    pub stage: Stage,
    /// What it will do here, for people.
    pub what: String,
}

/// What an install will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Install or rollback.
    pub operation: Operation,
    /// The product.
    pub product: Product,
    /// What runs now.
    pub from: Option<Version>,
    /// What shall run.
    pub to: Version,
    /// How the node changes over.
    pub changeover: Changeover,
    /// Bytes to fetch at most.
    pub fetch: u64,
    /// Bytes that the prefix will take, without what is built in it.
    pub write: u64,
    /// The stages, in order; empty where nothing is to be done.
    pub steps: Vec<Step>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether the release must be brought to the node first.
    #[must_use]
    pub fn brings(&self) -> bool {
        self.steps.iter().any(|step| step.stage == Stage::Fetch)
    }

    /// The stages of the change-over, in order.
    pub fn changes(&self) -> impl Iterator<Item = Stage> + '_ {
        let stages = self.steps.iter().map(|step| step.stage);
        stages.filter(|stage| (Stage::Hold..Stage::Settle).contains(stage))
    }
}

/// Decides what an install or a rollback of `release` does on a node in this `situation`.
///
/// `swap` is the node's own wish, which wins over the release's.
#[must_use]
pub fn plan(
    operation: Operation,
    situation: &Situation,
    release: &Descriptor,
    swap: Option<Swap>,
) -> Plan {
    let present = situation.sealed.contains(&release.version);
    let changeover = changeover(situation, release, swap);
    let mut plan = Plan {
        operation,
        product: release.product.clone(),
        from: situation.current.clone(),
        to: release.version.clone(),
        changeover,
        fetch: if present { 0 } else { release.bundle().size },
        write: if present { 0 } else { release.files.bytes },
        steps: Vec::new(),
        notes: notes(situation, release),
    };
    if changeover != Changeover::None {
        plan.steps.push(requires(release));
        if !present {
            plan.steps.extend(bring(release));
        }
        plan.steps.extend(change(changeover, situation, release));
        plan.steps.push(step(Stage::Settle, "write the receipt, mark it good, prune"));
    }
    plan
}

fn step(stage: Stage, what: impl Into<String>) -> Step {
    Step { stage, what: what.into() }
}

fn changeover(situation: &Situation, release: &Descriptor, swap: Option<Swap>) -> Changeover {
    let version = &release.version;
    let is_current =
        situation.current.as_ref() == Some(version) && situation.sealed.contains(version);
    match (&situation.gate, &release.service) {
        (GateSituation::None | GateSituation::Down, _) | (_, None) if is_current => {
            Changeover::None
        }
        (GateSituation::Up { serving }, Some(_))
            if is_current && serving.as_ref() == Some(version) =>
        {
            Changeover::None
        }
        (GateSituation::None | GateSituation::Down, _) | (_, None) => Changeover::Files,
        (GateSituation::Up { serving: None }, Some(_)) => Changeover::BlueGreen,
        (GateSituation::Up { serving: Some(_) }, Some(service)) => {
            match swap.unwrap_or(service.swap) {
                Swap::BlueGreen => Changeover::BlueGreen,
                Swap::Hold => Changeover::Hold,
                Swap::Backoff => Changeover::Backoff,
            }
        }
    }
}

fn notes(situation: &Situation, release: &Descriptor) -> Vec<String> {
    match (&situation.gate, &release.service) {
        (GateSituation::Down, Some(_)) => vec![
            "the gate is not running: no request is held and no service is started or stopped; \
             the next `install gate` serves what `current` names"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

fn requires(release: &Descriptor) -> Step {
    let mut needs = release.requires.commands.clone();
    needs.extend(release.python.iter().map(|python| python.interpreter.clone()));
    let files = release.config.values().filter(|file| file.required);
    needs.extend(files.map(|file| file.from.clone()));
    needs.sort();
    needs.dedup();
    let space = cutover_terminal::bytes(crate::requires::space(release));
    let needs = if needs.is_empty() { String::new() } else { format!("{}; ", needs.join(", ")) };
    step(Stage::Requires, format!("{needs}{space} of free space"))
}

fn bring(release: &Descriptor) -> Vec<Step> {
    let bundle = release.bundle();
    let size = cutover_terminal::bytes(bundle.size);
    let contents = format!(
        "{} entries, {}, into releases/{}",
        release.files.entries,
        cutover_terminal::bytes(release.files.bytes),
        release.version
    );
    let mut steps = vec![
        step(Stage::Fetch, format!("{}, {size}", bundle.file)),
        step(Stage::Verify, format!("sha256 {}", bundle.sha256)),
        step(Stage::Unpack, contents),
    ];
    if let Some(python) = &release.python {
        let what =
            format!("{} in {}, offline from {}", python.requirements, python.env, python.wheels);
        steps.push(step(Stage::Build, what));
    }
    if !release.config.is_empty() {
        let paths: Vec<&str> = release.config.keys().map(|path| path.as_str()).collect();
        steps.push(step(Stage::Configure, format!("link {}", paths.join(", "))));
    }
    steps
}

fn change(changeover: Changeover, situation: &Situation, release: &Descriptor) -> Vec<Step> {
    let version = &release.version;
    let serving = match &situation.gate {
        GateSituation::Up { serving: Some(serving) } => Some(serving),
        _ => None,
    };
    let switch = step(Stage::Switch, format!("current -> releases/{version}"));
    let start = step(Stage::Start, format!("start {version}"));
    let health = release.service.as_ref().map_or_else(String::new, |service| {
        format!("GET {} within {}", service.health.path, service.health.within)
    });
    let health = step(Stage::Health, health);
    let stop = serving.map(|old| step(Stage::Stop, format!("drain and stop {old}")));
    let refuse = match changeover {
        Changeover::Hold => step(Stage::Hold, "requests wait"),
        _ => step(Stage::Backoff, "requests get 503 with Retry-After"),
    };
    let open = step(Stage::Open, format!("requests go to {version}"));
    match changeover {
        Changeover::None => Vec::new(),
        Changeover::Files => [Some(switch), stop].into_iter().flatten().collect(),
        Changeover::BlueGreen => {
            let drain = serving.map(|old| step(Stage::Drain, format!("drain and stop {old}")));
            [Some(start), Some(health), Some(switch), drain].into_iter().flatten().collect()
        }
        Changeover::Hold | Changeover::Backoff => {
            let stop = stop.into_iter();
            [refuse].into_iter().chain(stop).chain([switch, start, health, open]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stage::{
        Backoff, Configure, Drain, Fetch, Health, Hold, Open, Requires, Settle, Start, Stop,
        Switch, Unpack, Verify,
    };

    fn release(version: &str, swap: &str) -> Descriptor {
        let digest = "0".repeat(64);
        let json = format!(
            r#"{{"format":"cutover.release/1.0","product":"weave","version":"{version}",
            "source":{{"kind":"tree","time":0}},
            "files":{{"file":"files.json.zst","sha256":"{digest}","size":1,"entries":1,"bytes":1}},
            "carriers":[{{"kind":"bundle","file":"b","sha256":"{digest}","size":10}}],
            "service":{{"command":["x"],"swap":"{swap}"}},
            "config":{{"a.ini":{{"from":"a.ini"}}}}}}"#
        );
        Descriptor::parse(json.as_bytes()).unwrap()
    }

    fn situation(current: Option<&str>, gate: GateSituation) -> Situation {
        let current: Option<Version> = current.map(|version| version.parse().unwrap());
        Situation { sealed: current.iter().cloned().collect(), current, gate }
    }

    fn up(serving: Option<&str>) -> GateSituation {
        GateSituation::Up { serving: serving.map(|version| version.parse().unwrap()) }
    }

    fn stages(situation: &Situation, release: &Descriptor, swap: Option<Swap>) -> Vec<Stage> {
        let plan = plan(Operation::Install, situation, release, swap);
        plan.steps.iter().map(|step| step.stage).collect()
    }

    const BRING: [Stage; 5] = [Requires, Fetch, Verify, Unpack, Configure];

    #[test]
    fn an_upgrade_beside_the_old() {
        let stages = stages(
            &situation(Some("1.0.0"), up(Some("1.0.0"))),
            &release("1.1.0", "blue-green"),
            None,
        );
        assert_eq!(stages, [&BRING[..], &[Start, Health, Switch, Drain, Settle]].concat());
    }

    #[test]
    fn an_upgrade_with_a_pause() {
        let node = situation(Some("1.0.0"), up(Some("1.0.0")));
        for (swap, first) in [(Swap::Hold, Hold), (Swap::Backoff, Backoff)] {
            let stages = stages(&node, &release("1.1.0", "blue-green"), Some(swap));
            let change = [first, Stop, Switch, Start, Health, Open, Settle];
            assert_eq!(stages, [&BRING[..], &change].concat());
        }
    }

    #[test]
    fn the_first_release_finds_nothing_to_stop() {
        let stages = stages(&situation(None, up(None)), &release("1.0.0", "backoff"), None);
        assert_eq!(stages, [&BRING[..], &[Start, Health, Switch, Settle]].concat());
    }

    #[test]
    fn without_a_gate_only_files_change() {
        for gate in [GateSituation::None, GateSituation::Down] {
            let node = situation(Some("1.0.0"), gate);
            let stages = stages(&node, &release("1.1.0", "hold"), None);
            assert_eq!(stages, [&BRING[..], &[Switch, Settle]].concat());
        }
        let node = situation(Some("1.0.0"), GateSituation::Down);
        let plan = plan(Operation::Install, &node, &release("1.1.0", "hold"), None);
        assert!(plan.notes[0].contains("not running"));
    }

    #[test]
    fn what_runs_already_is_left_alone() {
        let node = situation(Some("1.0.0"), up(Some("1.0.0")));
        let plan = plan(Operation::Install, &node, &release("1.0.0", "hold"), None);
        assert_eq!((plan.changeover, plan.steps), (Changeover::None, vec![]));
    }

    #[test]
    fn a_present_release_is_not_fetched_again() {
        let mut node = situation(Some("1.1.0"), up(Some("1.1.0")));
        node.sealed.insert(Version::new(1, 0, 0));
        let stages = stages(&node, &release("1.0.0", "blue-green"), None);
        assert_eq!(stages, [Requires, Start, Health, Switch, Drain, Settle]);
    }
}
