//! A gate that is killed before it writes a file or answers an installer: the next gate serves what
//! `current` names, and nothing of the first is left running.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use cutover_tests::aftermath::{Before, litter, services, tidy};
use cutover_tests::strace::{Fault, Site, killed_at_renames, read, traced, with_fault};
use cutover_tests::world::{NodeDir, Running, World, free_address, get, wait_until};

use cutover_tests::trial::{Count, End, Trial, sample};

/// By which a gate changes files, and speaks with installers and services.
const CALLS: [&str; 10] = [
    "write",
    "open",
    "openat",
    "rename",
    "unlink",
    "mkdir",
    "symlink",
    "fsync",
    "fdatasync",
    "sendto",
];

/// Tells a gate under `strace` to end. It may die in this very moment, and then needs no word.
fn end(node: &NodeDir<'_>, gate: &mut Running) {
    let pid = std::fs::read_to_string(node.root.join("run/gate.lock")).expect("it is held");
    let _ = Command::new("kill").arg(pid.trim()).stderr(Stdio::null()).status();
    wait_until("the gate has ended", || gate.has_ended());
}

/// Starts a gate under `strace` and has an install pass through it, as far as it comes.
fn swap(trial: &Trial<'_>, mut strace: Command, arguments: &[&str]) -> End {
    let node = trial.node;
    let mut gate = Running::start(strace.stdout(Stdio::null()).stderr(Stdio::null()));
    let address = node.gate.expect("the node has a gate");
    let serves = || get(address, "/").is_some_and(|(status, _)| status == 200);
    wait_until("the gate serves, or is dead", || gate.has_ended() || serves());
    if !gate.has_ended() {
        // It fails where the gate dies under it.
        let run = node.install(arguments.iter().copied());
        assert!(!run.stderr.contains("panicked"), "{run}");
    }
    if !gate.has_ended() {
        end(node, &mut gate);
    }
    match gate.0.wait().expect("it is our child").code() {
        None => End::Killed,
        Some(_) => End::Done,
    }
}

fn everywhere(trial: &Trial<'_>, arguments: &[&str], to: &str, salt: usize) -> Count {
    let node = trial.node;
    let trace = node.root.with_extension("trace");
    trial.restore();
    assert_eq!(
        swap(trial, traced(&trial.command(&["gate"]), &CALLS, &trace), arguments),
        End::Done
    );
    let root = node.root.display().to_string();
    let tells = |site: &Site| site.call == "sendto";
    let files = |site: &Site| site.file.as_ref().is_some_and(|file| file.starts_with(&root));
    let sites = read(&trace).into_iter().filter(|site| tells(site) || files(site)).collect();
    let mut count = Count::default();
    for site in sample(sites, salt, &mut count) {
        trial.restore();
        let before = Before::of(node);
        let fatal = with_fault(&trial.command(&["gate"]), &site, Fault::Kill);
        count.add(swap(trial, fatal, arguments));
        let gate = node.start_gate();
        let at = format!("the gate killed before {site}, {arguments:?}");
        trial.end(Some(gate), &before, arguments, to, &at);
        assert_eq!(services(node), Vec::<String>::new(), "{at}: still running");
    }
    count
}

/// Kills gates through which an upgrade passes that changes over by `swap`.
fn upgrade(swap: &str, salt: usize) {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let arguments = ["1.1.0", "--swap", swap];
    everywhere(&Trial::new(&node), &arguments, "1.1.0", salt).report(&format!("gate, {swap}"));
}

#[test]
fn in_blue_green() {
    upgrade("blue-green", 1);
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn in_hold() {
    upgrade("hold", 7);
}

/// Has every minder of a gate killed before its record says which service it is of: the gate itself
/// gives a name to its socket only. Ends the gate when one has left something.
fn minders_are_killed(node: &NodeDir<'_>) {
    let mut strace = killed_at_renames(node.command().arg("gate"));
    let mut gate = Running::start(strace.stdout(Stdio::null()).stderr(Stdio::null()));
    let left = || {
        let record = |path: &PathBuf| path.to_string_lossy().ends_with(".json.new");
        litter(&node.root).into_iter().filter(record).count()
    };
    wait_until("a record in the making", || gate.has_ended() || left() > 0);
    end(node, &mut gate);
    assert!(left() > 0);
}

#[test]
fn records_in_the_making_go_with_the_next_gate_and_with_prune() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    minders_are_killed(&node);
    let _ = node.install(["prune"]).ok();
    assert_eq!(litter(&node.root), Vec::<PathBuf>::new());
    minders_are_killed(&node);
    let _gate = node.start_gate();
    // Its own minder writes a record, too.
    tidy(&node, "the next gate runs");
}
