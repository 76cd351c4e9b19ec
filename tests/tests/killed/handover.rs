//! One gate takes another's place, and either of them is killed before it writes a file or says
//! something: there is one gate afterwards, or none and the next one starts; one service, which is ended
//! by whoever has it; and nothing is left of either.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use cutover_tests::aftermath::{litter, served, services};
use cutover_tests::strace::{Fault, Site, read, traced, with_fault};
use cutover_tests::trial::{Count, End, Trial, sample, stride};
use cutover_tests::world::{NodeDir, Running, World, free_address, get, wait_until};

const CALLS: [&str; 9] =
    ["write", "openat", "rename", "unlink", "mkdir", "ftruncate", "pwrite64", "sendto", "sendmsg"];

fn start(mut command: Command) -> Running {
    Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Who says that it has the gate's lock.
fn holder(node: &NodeDir<'_>) -> String {
    std::fs::read_to_string(node.root.join("run/gate.lock")).unwrap_or_default()
}

/// Whether a gate answers that is in nobody's hands.
fn is_settled(node: &NodeDir<'_>) -> bool {
    let run = node.install(["status", "--json"]);
    if run.status != 0 {
        return false;
    }
    let gate = &run.json()["gate"];
    !gate.is_null() && gate["lease"].is_null()
}

fn how(gate: &mut Running) -> End {
    match gate.wait() {
        // strace ends itself by the signal that ended the gate.
        None => End::Killed,
        Some(_) => End::Done,
    }
}

/// Has `new` take the place of `old`, as far as they come, and looks at what there is then; how each
/// of them ended.
fn hand_over(trial: &Trial<'_>, old: Command, new: Command, at: &str) -> (End, End) {
    trial.restore();
    let node = trial.node;
    let address = node.gate.expect("the node has a gate");
    let serves = || get(address, "/").is_some_and(|(status, _)| status == 200);
    let mut old = start(old);
    wait_until("the old gate serves, or is dead", || old.has_ended() || serves());
    let before = holder(node);
    let mut new = start(new);
    wait_until("the new gate has the place, or is dead", || {
        new.has_ended() || holder(node) != before
    });
    match new.has_ended() {
        true => wait_until("the old gate has decided", || old.has_ended() || is_settled(node)),
        false => wait_until("the old gate has gone, or the new one is dead", || {
            old.has_ended() || new.has_ended()
        }),
    }
    if new.has_ended() {
        wait_until("the old gate has decided", || old.has_ended() || is_settled(node));
    }
    let third = (old.has_ended() && new.has_ended()).then(|| node.start_gate());
    served(node, at);
    match third {
        Some(mut gate) => assert_eq!(gate.end(), Some(0), "{at}"),
        None => {
            // It may be killed in this very moment, and then its service goes on.
            let _ = Command::new("kill").arg(holder(node).trim()).stderr(Stdio::null()).status();
            wait_until("both have ended", || old.has_ended() && new.has_ended());
        }
    }
    let ends = (how(&mut old), how(&mut new));
    if !services(node).is_empty() {
        assert!(ends != (End::Done, End::Done), "{at}: left running: {:?}", services(node));
        assert_eq!(node.start_gate().end(), Some(0), "{at}");
    }
    assert_eq!(services(node), Vec::<String>::new(), "{at}: still running");
    assert_eq!(litter(&node.root), Vec::<PathBuf>::new(), "{at}");
    ends
}

/// Where a gate can be killed, by the trace of one that was not.
fn sites(trial: &Trial<'_>, trace: &std::path::Path) -> Vec<Site> {
    let root = trial.node.root.display().to_string();
    let tells = |site: &Site| site.call.starts_with("send");
    let files = |site: &Site| site.file.as_ref().is_some_and(|file| file.starts_with(&root));
    read(trace).into_iter().filter(|site| tells(site) || files(site)).collect()
}

/// Some of the calls answer clients, of which there are more or fewer each time: of a small sample all may
/// be such, and not come.
fn report(count: Count, what: &str) {
    if stride() == 1 {
        count.report(what);
    }
}

#[test]
fn either_side() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let trial = Trial::new(&node);
    let (old, new) = (trial.command(&["gate"]), trial.command(&["gate", "--replace"]));
    let (of_old, of_new) = (node.root.with_extension("old"), node.root.with_extension("new-trace"));
    let ends = hand_over(
        &trial,
        traced(&old, &CALLS, &of_old),
        traced(&new, &CALLS, &of_new),
        "nobody is killed",
    );
    assert_eq!(ends, (End::Done, End::Done));

    let mut count = Count::default();
    for site in sample(sites(&trial, &of_old), 3, &mut count) {
        let fatal = with_fault(&old, &site, Fault::Kill);
        let at = format!("the old gate killed before {site}");
        count.add(hand_over(&trial, fatal, trial.command(&["gate", "--replace"]), &at).0);
    }
    report(count, "handover, the old gate");
    let mut count = Count::default();
    for site in sample(sites(&trial, &of_new), 5, &mut count) {
        let fatal = with_fault(&new, &site, Fault::Kill);
        let at = format!("the new gate killed before {site}");
        count.add(hand_over(&trial, trial.command(&["gate"]), fatal, &at).1);
    }
    report(count, "handover, the new gate");
}
