//! Whatever is killed while releases are swapped under load, nothing else fails, and the node comes to
//! rest where `current` says.

use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cutover_tests::aftermath::{served, services};
use cutover_tests::swaps::{WAYS, node};
use cutover_tests::traffic::{Event, Outcome, Tally, Traffic, beside};
use cutover_tests::trial::stride;
use cutover_tests::world::{NodeDir, Running, World, free_address, wait_until};

/// Connections that ask all the time; no more than these can have a request with a process.
const CONNECTIONS: usize = 4;

/// Asks all the time while `act` goes on.
fn under_load(node: &NodeDir<'_>, act: impl FnOnce()) -> Tally {
    Tally::of(&events_under_load(node, act))
}

fn events_under_load(node: &NodeDir<'_>, act: impl FnOnce()) -> Vec<Event> {
    let address = node.gate.expect("the node has a gate");
    let traffic = [Traffic::gets(address, "/", CONNECTIONS, Duration::from_millis(2))];
    beside(&traffic, act).1
}

fn other(node: &NodeDir<'_>) -> &'static str {
    if node.current().as_deref() == Some("1.0.0") { "1.1.0" } else { "1.0.0" }
}

/// An install that is under way for `moment`.
fn begun(node: &NodeDir<'_>, way: &str, moment: u64) -> Running {
    let install = node.begin([other(node), "--swap", way]);
    std::thread::sleep(Duration::from_millis(moment));
    install
}

/// Milliseconds after the start of an install, which takes about 400 on an idle machine: the second here,
/// all of them in `tests/sweeps`.
fn moments() -> impl Iterator<Item = u64> {
    some([40, 120, 250, 400].into_iter(), 1, 4)
}

/// All of `cases` in `tests/sweeps`; here each `step`th of them, without the first `passed_over`.
fn some(
    cases: impl Iterator<Item = u64>,
    passed_over: usize,
    step: usize,
) -> impl Iterator<Item = u64> {
    let (passed_over, step) = if stride() == 1 { (0, 1) } else { (passed_over, step) };
    cases.skip(passed_over).step_by(step)
}

#[test]
fn gates_are_replaced() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    for way in WAYS {
        let tally = under_load(&node, || {
            let successor = Running::start(node.command().args(["gate", "--replace"]));
            let pid = successor.0.id();
            let before = std::mem::replace(&mut gate, successor);
            wait_until("another gate", || node.status()["gate"]["pid"] == pid);
            let _ = node.install([other(&node), "--swap", way]).ok();
            drop(before);
            served(&node, way);
        });
        assert_eq!(tally.failed, 0, "{way}, gate replaced: {:?}", tally.failures);
        if way == "blue-green" {
            assert_eq!(tally.refused, 0);
        }
    }
    assert_eq!(gate.end(), Some(0));
}

/// Between two gates, where nothing else has the socket: nobody is there from `killed` on, and a gate
/// that serves from `open` on.
struct Gap {
    killed: Instant,
    open: Instant,
}

/// Kills the gate, sees that clients find nobody, and starts another one, which `mend` helps to its feet.
fn killed_and_started_again(
    node: &NodeDir<'_>,
    gate: &mut Running,
    at: &str,
    mend: impl FnOnce(),
) -> Gap {
    gate.signal("KILL");
    wait_until("its end", || gate.has_ended());
    let killed = Instant::now();
    let address = node.gate.expect("the node has a gate");
    let refused = TcpStream::connect(address).expect_err("nobody listens").kind();
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused, "{at}");
    mend();
    *gate = node.start_gate();
    let _ = node.install(["resume"]).ok();
    served(node, at);
    Gap { killed, open: Instant::now() }
}

/// What is promised to clients of a gate that is killed: those that had a connection lose it, the
/// others are refused until there is another gate, and from then on all is well.
fn is_bridged(events: &[Event], gap: &Gap, current: &str, at: &str) {
    let mut broken = Vec::new();
    for Event { began, outcome, .. } in events {
        match outcome {
            Outcome::Failed(why) if !why.contains("Connection refused") => broken.push(why),
            Outcome::Failed(why) => assert!(*began < gap.open, "{at}: {why}, and the gate is open"),
            Outcome::Served { version, .. } if *began > gap.open => {
                assert_eq!(version, current, "{at}");
            }
            _ => {}
        }
    }
    assert!(broken.len() <= CONNECTIONS, "{at}: more than there were connections: {broken:?}");
    let failed = |event: &&Event| matches!(event.outcome, Outcome::Failed(_));
    assert!(events.iter().filter(failed).any(|event| event.began > gap.killed), "{at}: a gap");
    assert!(events.iter().any(|event| event.began > gap.open), "{at}: asked afterwards");
}

/// Clients go on for so long.
fn a_while() {
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn a_gate_that_is_killed_leaves_its_service_to_the_next() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    let running = |node: &NodeDir<'_>| node.status()["gate"]["running"]["pid"].clone();
    let service = running(&node);
    let mut gap = None;
    let events = events_under_load(&node, || {
        a_while();
        gap = Some(killed_and_started_again(&node, &mut gate, "at rest", || {
            a_while();
            assert_eq!(services(&node).len(), 1, "the service lives on");
        }));
        a_while();
    });
    is_bridged(&events, &gap.expect("it was killed"), "1.0.0", "at rest");
    assert_eq!(running(&node), service, "the same process");
    let served = |event: &Event| matches!(&event.outcome, Outcome::Served { version, .. } if version == "1.0.0");
    let failed = |event: &Event| matches!(event.outcome, Outcome::Failed(_));
    assert!(events.iter().all(|event| served(event) || failed(event)), "nothing else happens");
    assert_eq!(gate.end(), Some(0));
}

#[test]
fn gates_are_killed_in_swaps_under_load() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    for way in WAYS {
        for moment in moments() {
            let at = format!("{way}, gate killed after {moment} ms");
            let mut gap = None;
            let events = events_under_load(&node, || {
                let mut install = begun(&node, way, moment);
                gap = Some(killed_and_started_again(&node, &mut gate, &at, || {
                    wait_until("the end of the install", || install.has_ended());
                    a_while();
                }));
                a_while();
            });
            let current = node.current().expect("there is always one");
            is_bridged(&events, &gap.expect("it was killed"), &current, &at);
            let services = services(&node);
            let own = format!("releases/{current}/");
            assert!(services.len() == 1 && services[0].contains(&own), "{at}: {services:?}");
        }
    }
    assert_eq!(gate.end(), Some(0));
    assert_eq!(services(&node), Vec::<String>::new());
}

#[test]
fn a_release_that_dies_after_the_switch_is_undone() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let mut gate = node.start_gate();
    tree.replace("release.toml", "within = \"10s\"", "within = \"10s\", for = \"20s\"");
    tree.replace("release.toml", "env = { ", "env = { TINY_CRASH = \"3\", ");
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let starts = || {
        let said = node.install(["logs", "--release", "1.1.0", "-n", "all"]);
        said.stdout.matches("tiny: 1.1.0 on ").count()
    };
    let mut before = 0;
    for way in WAYS {
        let tally = under_load(&node, || {
            let said = ["it was healthy at first", "exit status: 70"];
            let _ = node.install(["1.1.0", "--swap", way]).refused(5, &said);
            served(&node, way);
        });
        assert_eq!(node.current().as_deref(), Some("1.0.0"));
        // The gate starts it again until the install goes back, and it dies again.
        let now = starts();
        let most = (CONNECTIONS * (now - before)) as u64;
        before = now;
        assert!(tally.failed <= most, "{way}: only what was with it: {:?}", tally.failures);
        assert!(tally.served["1.1.0"] > 0, "{way}: it did serve");
    }
    assert_eq!(gate.end(), Some(0));
}

/// Starts a gate and tells it to end after `moment`, wherever it is by then.
fn started_and_ended(node: &NodeDir<'_>, moment: u64) {
    let mut gate = Running::start(node.command().arg("gate").stderr(Stdio::null()));
    std::thread::sleep(Duration::from_millis(moment));
    gate.end();
    assert_eq!(services(node), Vec::<String>::new(), "ended {moment} ms after its start");
}

#[test]
fn a_gate_that_is_told_to_end_leaves_no_service_behind() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    assert_eq!(gate.end(), Some(0));
    for moment in some((0..150).step_by(5), 2, 6) {
        started_and_ended(&node, moment);
    }
    // While an install starts a newcomer, and while the gate does by itself after one that was killed.
    for moment in some((40..240).step_by(20), 3, 5) {
        for kill in [false, true] {
            let mut gate = node.start_gate();
            served(&node, "before");
            let mut install = begun(&node, "hold", moment);
            if kill {
                install.signal("KILL");
            }
            gate.end();
            let at = format!("ended {moment} ms into a swap, installer killed: {kill}");
            assert_eq!(services(&node), Vec::<String>::new(), "{at}");
            wait_until("the end of the install", || install.has_ended());
            let _ = node.install(["resume"]).ok();
        }
    }
}
