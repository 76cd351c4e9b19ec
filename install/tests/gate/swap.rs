//! Releases change while clients ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::{Answer, Client};
use crate::life::{pid_of_service, signal};
use crate::node::{Mode, Node, until, version};
use cutover_install::gate::{ControlError, State};
use rustix::process::Signal;

/// Clients that ask without a pause.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<(u16, String)>>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    // Some keep their connection, some do not.
                    if number.is_multiple_of(2) {
                        client = Client::connect(address);
                    }
                    let answer = client.get("/version");
                    seen.push((answer.status(), answer.text().to_owned()));
                    if answer.field("connection") == Some("close") {
                        client = Client::connect(address);
                    }
                }
                seen
            })
        };
        Self { clients: (0..clients).map(client).collect(), stop }
    }

    pub(crate) fn stop(self) -> Vec<(u16, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

fn ask_aside(address: SocketAddr, path: &'static str) -> JoinHandle<Answer> {
    std::thread::spawn(move || Client::connect(address).get(path))
}

#[test]
fn blue_green_fails_nobody() {
    let node = Node::running("");
    node.release("1.1.0", Mode::Slow);
    let load = Load::start(node.address, 6);
    let mut session = node.session();
    for to in ["1.1.0", "1.0.0", "1.1.0"] {
        session.begin().unwrap();
        session.start(&version(to)).unwrap();
        assert_ne!(node.status().running.unwrap().version, version(to));
        session.wait_healthy().unwrap();
        node.switch(to);
        session.promote().unwrap();
        assert_eq!(Client::connect(node.address).get("/version").text(), to);
        session.retire().unwrap();
        let figures = session.finish().unwrap();
        assert_eq!((figures.held, figures.refused, figures.failed), (0, 0, 0));
        assert!(figures.dark.abs() < f64::EPSILON, "{figures:?}");
    }
    let seen = load.stop();
    assert!(seen.iter().all(|(status, _)| *status == 200), "a request failed");
    assert!(["1.0.0", "1.1.0"].iter().all(|text| seen.iter().any(|(_, seen)| seen == text)));
    assert!(node.status().requests[&version("1.1.0")] > 0);
}

#[test]
fn held_requests_meet_the_new_release() {
    let node = Node::running_one("", Mode::Patient);
    node.release("1.1.0", Mode::Good);
    let slow = ask_aside(node.address, "/held");
    until("a request in flight", || node.status().in_flight == 1);
    let mut session = node.session();
    session.begin().unwrap();
    session.hold().unwrap();
    let held: Vec<_> = (0..8).map(|_| ask_aside(node.address, "/version")).collect();
    until("held requests", || node.status().waiting == 8);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| session.stop_running().unwrap());
        // It has no place any more, and is waited for.
        until("the end to begin", || node.status().running.is_none());
        node.answer_held();
        stopping.join().unwrap()
    });
    assert_eq!(slow.join().unwrap().text(), "1.0.0", "what was in flight finishes");
    node.switch("1.1.0");
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    session.promote().unwrap();
    assert_eq!(node.status().waiting, 8);
    session.open().unwrap();
    for held in held {
        assert_eq!(held.join().unwrap().text(), "1.1.0");
    }
    let figures = session.finish().unwrap();
    assert_eq!((figures.held, figures.refused, figures.failed), (8, 0, 0));
    assert!(figures.dark > 0.0 && figures.longest_wait > 0.0, "{figures:?}");
    assert!(node.root.state().join("gate.json").exists(), "the gate learns from it");
}

#[test]
fn the_queue_and_the_patience_have_bounds() {
    let node = Node::running("hold-queue = 2\nhold-max = \"4s\"");
    let mut session = node.session();
    session.begin().unwrap();
    session.hold().unwrap();
    let held: Vec<_> = (0..2).map(|_| ask_aside(node.address, "/version")).collect();
    until("held requests", || node.status().waiting == 2);
    assert_eq!(Client::connect(node.address).get("/version").status(), 503, "the queue is full");
    assert_eq!(node.status().waiting, 2, "it was told at once");
    for held in held {
        assert_eq!(held.join().unwrap().status(), 503, "patience has ended");
    }
    session.open().unwrap();
    assert_eq!(Client::connect(node.address).get("/version").status(), 200);
    let figures = session.finish().unwrap();
    assert_eq!((figures.held, figures.refused), (2, 3));
}

#[test]
fn backoff_says_when_to_return() {
    let node = Node::running("");
    let mut session = node.session();
    session.begin().unwrap();
    session.announce(7).unwrap();
    let mut client = Client::connect(node.address);
    assert_eq!(client.get("/version").field("x-backoff"), Some("7"));
    assert_eq!(client.get("/.cutover/ready").status(), 200);
    session.backoff().unwrap();
    assert_eq!(client.get("/.cutover/ready").status(), 503);
    assert_eq!(client.get("/.cutover/alive").status(), 200);

    let answer = client.get("/version");
    assert_eq!(answer.status(), 503);
    let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=9).contains(&seconds), "{seconds}");
    assert_eq!(answer.field("x-backoff"), answer.field("retry-after"));
    assert_eq!(answer.field("x-weave-maintenance"), None);
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&json["code"], &json["retry_after"]), (&503.into(), &seconds.into()));

    client.say("GET / HTTP/1.1\r\nhost: s\r\naccept: text/html,*/*\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.text().starts_with("<!doctype html>"));

    session.open().unwrap();
    let answer = client.get("/version");
    assert_eq!((answer.status(), answer.field("x-backoff")), (200, None));
    assert_eq!(session.finish().unwrap().refused, 2);
}

#[test]
fn an_ill_newcomer_changes_nothing() {
    let node = Node::running("");
    node.release("1.1.0", Mode::Ill);
    node.release("1.2.0", Mode::Ends);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    let error = session.wait_healthy().unwrap_err();
    assert!(error.to_string().contains("GET /health gave 500"), "{error}");
    let Err(ControlError::Refused(_)) = session.promote() else { panic!("it is ill") };

    session.start(&version("1.2.0")).unwrap();
    let error = session.wait_healthy().unwrap_err();
    let ControlError::Unhealthy { reason, log_tail, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("exit status: 3"), "{reason}");
    assert!(log_tail.contains(&"cannot find my database".to_owned()), "{log_tail:?}");

    let error = session.start(&version("9.9.9")).unwrap_err();
    assert!(error.to_string().contains("9.9.9 cannot be started"), "{error}");
    session.abandon().unwrap();
    session.finish().unwrap();
    assert_eq!(node.status().state, State::Open);
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
}

#[test]
fn health_that_does_not_last_is_seen_and_the_old_never_stops() {
    let node = Node::running("");
    node.release("1.1.0", Mode::Good);
    node.release("1.2.0", Mode::Sickens);
    let old = node.status().running.unwrap().pid;
    for (to, why) in [("1.1.0", "signal: 9"), ("1.2.0", "GET /health gave 500")] {
        let mut session = node.session();
        session.begin().unwrap();
        session.start(&version(to)).unwrap();
        session.wait_healthy().unwrap();
        node.switch(to);
        session.promote().unwrap();
        if to == "1.1.0" {
            signal(pid_of_service(&node), Signal::KILL);
        }
        let error = session.open().unwrap_err();
        let ControlError::Unhealthy { reason, .. } = &error else { panic!("{error}") };
        assert!(reason.starts_with("it was healthy at first") && reason.contains(why), "{reason}");
        // As an install goes back.
        node.switch("1.0.0");
        session.start(&version("1.0.0")).unwrap();
        session.wait_healthy().unwrap();
        session.promote().unwrap();
        session.open().unwrap();
        session.retire().unwrap();
        session.finish().unwrap();
        assert_eq!(node.status().running.unwrap().pid, old, "the same process all the time");
        assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    }
}

#[test]
fn a_service_that_takes_no_hint_is_killed() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Stubborn);
    node.switch("1.0.0");
    node.start();
    node.wait_open();
    let pid = node.status().running.unwrap().pid.unwrap();
    let mut session = node.session();
    session.begin().unwrap();
    session.backoff().unwrap();
    let took = session.stop_running().unwrap();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_service_that_dies_is_started_again() {
    let node = Node::running("");
    let before = node.status().running.unwrap().pid;
    Client::connect(node.address).kill_service();
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert_ne!(node.status().running.unwrap().pid, before);
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
}
