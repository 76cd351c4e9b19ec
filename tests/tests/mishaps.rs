//! Whatever is killed while releases are swapped under load, nothing else fails, and the node comes to
//! rest where `current` says.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cutover_tests::aftermath::served;
use cutover_tests::swaps::{WAYS, node};
use cutover_tests::traffic::{Tally, Traffic, run};
use cutover_tests::world::{NodeDir, Running, World, free_address, wait_until};

/// Connections that ask all the time; no more than these can have a request with a process.
const CONNECTIONS: usize = 4;

/// Asks all the time while `act` goes on.
fn under_load(node: &NodeDir<'_>, act: impl FnOnce()) -> Tally {
    let address = node.gate.expect("the node has a gate");
    let traffic = [Traffic::gets(address, "/", CONNECTIONS, Duration::from_millis(2))];
    let stop = AtomicBool::new(false);
    let events = std::thread::scope(|scope| {
        let asking = scope.spawn(|| run(&traffic, &stop));
        let ending = Ending(&stop);
        act();
        drop(ending);
        asking.join().expect("traffic does not panic")
    });
    Tally::of(&events)
}

/// Ends the traffic, also where what goes on beside it panics.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn other(node: &NodeDir<'_>) -> &'static str {
    if node.current().as_deref() == Some("1.0.0") { "1.1.0" } else { "1.0.0" }
}

/// An install that is under way for `moment`.
fn begun(node: &NodeDir<'_>, way: &str, moment: u64) -> Running {
    let mut command = node.command();
    command.args([other(node), "--swap", way]).stdout(Stdio::null()).stderr(Stdio::null());
    let install = Running::start(&mut command);
    std::thread::sleep(Duration::from_millis(moment));
    install
}

/// Moments after the start of an install; a swap takes about 400 ms on an idle machine.
const MOMENTS: [u64; 4] = [40, 120, 250, 400];

#[test]
fn installers_are_killed() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    for way in WAYS {
        for moment in MOMENTS {
            let tally = under_load(&node, || {
                let mut install = begun(&node, way, moment);
                install.signal("KILL");
                wait_until("its end", || install.has_ended());
                let _ = node.install(["resume"]).ok();
                served(&node, way);
            });
            let at = format!("{way}, installer killed after {moment} ms");
            assert_eq!(tally.failed, 0, "{at}: {:?}", tally.failures);
        }
    }
    assert_eq!(gate.end(), Some(0));
}

fn kill(pid: &serde_json::Value) {
    let pid = pid.as_u64().expect("a process").to_string();
    let _ = std::process::Command::new("kill").args(["-s", "KILL", &pid]).status();
}

#[test]
fn services_are_killed() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    for way in WAYS {
        for moment in MOMENTS {
            let mut killed = false;
            let tally = under_load(&node, || {
                let mut install = begun(&node, way, moment);
                let running = node.status()["gate"]["running"]["pid"].clone();
                killed = running.is_u64();
                if killed {
                    kill(&running);
                }
                wait_until("its end", || install.has_ended());
                let _ = node.install(["resume"]).ok();
                served(&node, way);
            });
            let at = format!("{way}, service killed after {moment} ms: {:?}", tally.failures);
            let most = if killed { CONNECTIONS as u64 } else { 0 };
            assert!(tally.failed <= most, "{at}: {}", tally.failed);
        }
    }
    assert_eq!(gate.end(), Some(0));
}

#[test]
fn gates_are_killed_and_gates_are_replaced() {
    let world = World::new();
    let (node, mut gate) = node(&world);
    for way in WAYS {
        let mut install = begun(&node, way, 150);
        gate.signal("KILL");
        wait_until("its end", || gate.has_ended());
        wait_until("the end of the install", || install.has_ended());
        gate = node.start_gate();
        let _ = node.install(["resume"]).ok();
        served(&node, way);

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

#[test]
fn a_release_that_dies_after_the_switch_is_undone() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let mut gate = node.start_gate();
    tree.replace("release.toml", "within = \"10s\"", "within = \"10s\", for = \"20s\"");
    tree.replace("release.toml", "env = { ", "env = { TINY_CRASH = \"1\", ");
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    for way in WAYS {
        let tally = under_load(&node, || {
            let said = ["it was healthy at first", "exit status: 70"];
            let _ = node.install(["1.1.0", "--swap", way]).refused(5, &said);
            served(&node, way);
        });
        assert_eq!(node.current().as_deref(), Some("1.0.0"));
        let most = CONNECTIONS as u64;
        assert!(tally.failed <= most, "{way}: only what was with it: {:?}", tally.failures);
        assert!(tally.served["1.1.0"] > 0, "{way}: it did serve");
    }
    assert_eq!(gate.end(), Some(0));
}
