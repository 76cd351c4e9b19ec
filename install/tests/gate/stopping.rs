//! What a service is sent when it is to end, and what becomes of the requests that it has.

use std::fs;
use std::thread::JoinHandle;
use std::time::Duration;

use cutover_formats::descriptor::StopSignal;

use crate::client::{Answer, Client};
use crate::node::{Mode, Node, until};

fn running(mode: Mode, signal: StopSignal, settings: &str) -> Node {
    let mut node = Node::new(settings);
    node.release_that_stops_by("1.0.0", mode, signal);
    node.switch("1.0.0");
    node.start();
    node.wait_open();
    node
}

/// Has the gate stop what runs, as an install does; tells how long that took, requests included.
fn stop(node: &Node) -> Duration {
    let pid = node.status().running.unwrap().pid.unwrap();
    let mut session = node.session();
    session.begin().unwrap();
    session.backoff().unwrap();
    let took = session.stop_running().unwrap();
    session.finish().unwrap();
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "it has ended");
    took
}

fn signals(node: &Node) -> String {
    fs::read_to_string(node.root.path().join("record")).unwrap()
}

fn ask(node: &Node, path: &'static str) -> JoinHandle<Answer> {
    let address = node.address;
    let asking = std::thread::spawn(move || Client::connect(address).get(path));
    until("a request in flight", || node.status().in_flight == 1);
    asking
}

#[test]
fn a_service_gets_the_signal_that_it_asks_for_and_no_other() {
    for signal in ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH"] {
        let node = running(Mode::Signals, signal.parse().unwrap(), "");
        stop(&node);
        assert_eq!(signals(&node), format!("{signal}\n"));
    }
}

#[test]
fn a_service_that_goes_on_all_the_same_is_killed_after_its_time() {
    let node = running(Mode::Deaf, StopSignal::Usr2, "");
    let took = stop(&node);
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert_eq!(signals(&node), "USR2\n");
}

#[test]
fn the_node_may_say_otherwise() {
    let node = running(Mode::Signals, StopSignal::Int, "[service]\nstop-signal = \"SIGQUIT\"");
    stop(&node);
    assert_eq!(signals(&node), "QUIT\n");
}

#[test]
fn a_gate_that_ends_stops_its_service_in_the_same_way() {
    let mut node = running(Mode::Signals, StopSignal::Hup, "");
    node.signal(rustix::process::Signal::TERM);
    node.wait_end();
    assert_eq!(signals(&node), "HUP\n");
}

#[test]
fn what_is_killed_has_answered_its_requests_first() {
    let node = running(Mode::Signals, StopSignal::Kill, "");
    let held = ask(&node, "/held");
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| stop(&node));
        until("the end to begin", || node.status().running.is_none());
        node.answer_held();
        stopping.join().unwrap()
    });
    assert_eq!(held.join().unwrap().text(), "1.0.0");
    assert_eq!(signals(&node), "", "it was not asked");
}

#[test]
fn requests_beyond_the_limit_end_with_a_service_that_is_killed() {
    let node = running(Mode::Deaf, StopSignal::Kill, "");
    let late = ask(&node, "/late");
    let took = stop(&node);
    assert!(took >= Duration::from_secs(1), "they had their time: {took:?}");
    assert_eq!(late.join().unwrap().status(), 502);
    until("the failure to be counted", || node.status().failed == 1);
}
