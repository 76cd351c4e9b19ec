//! What must hold of a node after whatever happened to it: it is on the old release or the new,
//! whole, nothing lies about, and the service of that release answers through an open gate.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{NodeDir, assert_same, get};

/// How long a gate may take to settle, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a gate may take to write a small file.
const WRITTEN: Duration = Duration::from_secs(60);

/// A node as it was before something happened to it.
#[derive(Debug)]
pub struct Before {
    /// What was current.
    pub current: Option<String>,
    inventory: Vec<String>,
    history: Vec<String>,
}

impl Before {
    /// Of this moment.
    #[must_use]
    pub fn of(node: &NodeDir<'_>) -> Self {
        let inventory = without_learned(node.inventory());
        Self { current: node.current(), inventory, history: history(node) }
    }
}

/// Ends what was cut off with `install resume`, removes what is not needed, and looks at
/// everything. `at` says what had happened.
///
/// # Panics
/// Where anything is not as it must be.
#[track_caller]
pub fn settle(node: &NodeDir<'_>, before: &Before, to: &str, at: &str) -> Option<String> {
    let run = node.install(["resume"]);
    assert_eq!(run.status, 0, "{at}: resume: {run}");
    let run = node.install(["prune"]);
    assert_eq!(run.status, 0, "{at}: prune: {run}");
    let current = node.current();
    let expected = current == before.current || current.as_deref() == Some(to);
    assert!(expected, "{at}: {current:?} is current");
    whole(node, at);
    kept(node, before, at);
    if current == before.current && current.as_deref() != Some(to) {
        // A release that was brought may stay, but none of what makes the node what it is.
        assert_same(&before.inventory, &without_learned(node.inventory()));
    }
    if node.gate.is_some() && current.is_some() {
        served(node, at);
    }
    current
}

/// What is on the node is whole, and nothing else is there.
///
/// # Panics
/// Where it is not.
#[track_caller]
pub fn whole(node: &NodeDir<'_>, at: &str) {
    if node.current().is_some() {
        let run = node.install(["verify", "--all"]);
        assert_eq!(run.status, 0, "{at}: verify: {run}");
    }
    tidy(node, at);
}

/// Nobody has left a temporary behind. A gate that runs may be in the middle of writing a file; that
/// one is gone in a moment.
///
/// # Panics
/// Where one stays.
#[track_caller]
pub fn tidy(node: &NodeDir<'_>, at: &str) {
    let began = Instant::now();
    loop {
        let litter = litter(&node.root);
        if litter.is_empty() {
            return;
        }
        assert!(began.elapsed() < WRITTEN, "{at}: left lying about: {litter:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The history goes on from where it was, with whole lines, each about an install of its own whose
/// receipt is there.
#[track_caller]
fn kept(node: &NodeDir<'_>, before: &Before, at: &str) {
    let after = history(node);
    assert!(after.starts_with(&before.history), "{at}: history was lost: {after:#?}");
    let mut ids: Vec<String> = Vec::new();
    for line in &after {
        let receipt: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{at}: {error}: {line}"));
        let id = receipt["id"].as_str().unwrap_or_else(|| panic!("{at}: no id: {line}"));
        let path = node.root.join(format!("state/receipts/{id}.json"));
        let kept = std::fs::read(&path).unwrap_or_else(|error| panic!("{at}: {id}: {error}"));
        let kept: Result<Value, _> = serde_json::from_slice(&kept);
        assert!(kept.is_ok(), "{at}: receipt {id} is torn");
        ids.push(id.to_owned());
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(all, ids.len(), "{at}: an install is on record twice: {after:#?}");
}

/// The gate is open and nobody's, and one service runs: that of the release that is current.
///
/// # Panics
/// Where it does not come to that in two minutes.
#[track_caller]
pub fn served(node: &NodeDir<'_>, at: &str) {
    let current = node.current().unwrap_or_else(|| panic!("{at}: nothing is current"));
    let address = node.gate.expect("the node has a gate");
    let settled = || -> Result<(), String> {
        // What is cheap to ask comes first: most of the time is spent waiting for it.
        let answer = get(address, "/");
        let version = answer.as_ref().and_then(|(status, body)| {
            let body: Value = serde_json::from_str(body).ok()?;
            (*status == 200).then(|| body["version"].as_str().map(str::to_owned)).flatten()
        });
        if version.as_ref() != Some(&current) {
            return Err(format!("{answer:?}"));
        }
        let status = node.status();
        let gate = &status["gate"];
        let free = [&gate["newcomer"], &gate["retiring"], &gate["lease"]];
        let running = gate["running"]["version"] == *current;
        if gate["state"] != "open" || !running || free.iter().any(|place| !place.is_null()) {
            return Err(gate.to_string());
        }
        match &services(node)[..] {
            [service] if service.contains(&format!("/releases/{current}/")) => Ok(()),
            services => Err(format!("{services:?}")),
        }
    };
    let began = Instant::now();
    while let Err(found) = settled() {
        assert!(began.elapsed() < PATIENCE, "{at}: {current} is not served in order: {found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Command lines of processes that run from the node's prefixes.
///
/// # Panics
/// Where `ps` fails.
#[must_use]
pub fn services(node: &NodeDir<'_>) -> Vec<String> {
    let releases = node.root.join("releases");
    let listed = Command::new("ps").args(["-eo", "args", "--no-headers", "-ww"]).output();
    let listed = listed.expect("ps is installed");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let ours = |line: &&str| line.contains(&format!("{}/", releases.display()));
    let strace = |line: &&str| !line.starts_with("strace ");
    listed.lines().filter(ours).filter(strace).map(str::to_owned).collect()
}

/// Temporaries and partial downloads below a node's root.
#[must_use]
pub fn litter(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let temporary = name.starts_with(".new-") || name.ends_with(".new");
            if temporary || name.ends_with(".part") {
                found.push(path);
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    found
}

/// Files below a folder that hold one of these texts. They are looked for here and not by a program,
/// whose arguments everybody would see.
#[must_use]
pub fn holders(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // A gate, which goes on, may remove any of its own at this moment.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(holders(&entry.path(), texts));
        } else if kind.is_file() {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            let holds =
                |text: &&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(texts.iter().any(holds).then(|| entry.path()));
        }
    }
    found
}

fn history(node: &NodeDir<'_>) -> Vec<String> {
    let text = std::fs::read_to_string(node.root.join("state/history.jsonl")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What was learned of releases may be rewritten, and what builders keep is their own.
fn without_learned(mut inventory: Vec<String>) -> Vec<String> {
    let learned = ["state/standings.json", "state/gate.json", "state/cache"];
    inventory.retain(|line| !learned.iter().any(|name| line.starts_with(name)));
    inventory
}
