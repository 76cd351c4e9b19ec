//! One gate takes another's place, and nobody is the worse for it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover_install::gate::Session;
use rustix::process::Signal;

use crate::client::Client;
use crate::life::{lives, pid_of_service, signal, stop};
use crate::node::{Mode, Node, until, version};
use crate::swap::Load;

#[test]
fn a_new_gate_loses_no_request() {
    let mut node = Node::running("");
    let service = pid_of_service(&node);
    let load = Load::start(node.address, 6);
    for _ in 0..10 {
        let mut before = node.replace_gate();
        assert!(before.wait().unwrap().success());
        assert_eq!(pid_of_service(&node), service);
    }
    let seen = load.stop();
    assert!(seen.len() > 100 && seen.iter().all(|(status, _)| *status == 200), "a request failed");
    let status = node.status();
    assert_eq!((status.restarts, status.failed, status.refused), (0, 0, 0));
    assert_eq!(
        fs::read_to_string(node.root.run().join("gate.lock")).unwrap(),
        format!("{}\n", status.pid)
    );
    // The service is this gate's as if it had started it.
    signal(service, Signal::KILL);
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
}

#[test]
fn what_the_old_gate_has_it_finishes() {
    let mut node = Node::running("");
    let mut idle = Client::connect(node.address);
    assert_eq!(idle.get("/version").field("connection"), None);
    let mut tunnel = Client::connect(node.address);
    tunnel.say(
        "GET /upgrade HTTP/1.1\r\nhost: s\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    assert!(tunnel.head().starts_with("HTTP/1.1 101 "));
    let mut held = Client::connect(node.address);
    held.say("GET /held HTTP/1.1\r\nhost: s\r\n\r\n");
    until("requests in flight", || node.status().in_flight == 2);
    let mut before = node.replace_gate();
    node.answer_held();
    let answer = held.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("1.0.0", Some("close")));
    let answer = idle.get("/version");
    assert_eq!((answer.text(), answer.field("connection")), ("1.0.0", Some("close")));
    assert_eq!(idle.rest(), b"");
    tunnel.say("still there");
    assert_eq!(tunnel.exactly(11), b"still there");
    assert!(before.try_wait().unwrap().is_none(), "it has a tunnel to carry");

    // Whoever wants to change what runs has it hurry, and waits for it: at most for `drain`, 1 s.
    let asked = Instant::now();
    let mut session = node.session();
    session.begin().unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(500), "{:?}", asked.elapsed());
    until("the end of the old gate", || before.try_wait().unwrap().is_some());
    session.finish().unwrap();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
}

/// A gate that was replaced while it had a request, with the gate before it and the request's client.
fn replaced_with_a_request() -> (Node, Child, Client) {
    let mut node = Node::running_one("", Mode::Patient);
    let mut held = Client::connect(node.address);
    held.say("GET /held HTTP/1.1\r\nhost: s\r\n\r\n");
    until("a request in flight", || node.status().in_flight == 1);
    let before = node.replace_gate();
    (node, before, held)
}

#[test]
fn a_gate_with_an_install_stays() {
    let node = Node::running("");
    let mut session = node.session();
    session.begin().unwrap();
    let refused = node.gate_command().arg("--replace").stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(6), "{text}");
    session.finish().unwrap();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let node = Node::running("");
    let (gate, service) = (node.status().pid, pid_of_service(&node));
    let good = fs::read_to_string(node.root.node_toml()).unwrap();
    let fails = |code| {
        let mut command = node.gate_command();
        let refused = command.args(["--replace", "--background"]).stderr(Stdio::piped()).output();
        let refused = refused.unwrap();
        let text = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{text}");
        assert_eq!((node.status().pid, pid_of_service(&node)), (gate, service));
        assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    };
    fs::write(node.root.node_toml(), format!("{good}nonsense = 1\n")).unwrap();
    fails(2);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = taken.local_addr().unwrap().to_string();
    fs::write(node.root.node_toml(), good.replace(&node.address.to_string(), &elsewhere)).unwrap();
    fails(2);
    // It is killed while it has the estate in its hands: the service does not answer it.
    fs::write(node.root.node_toml(), good).unwrap();
    stop(service);
    let mut successor = node.gate_command().arg("--replace").spawn().unwrap();
    until("its lease", || node.status().lease == Some(successor.id()));
    successor.kill().unwrap();
    successor.wait().unwrap();
    signal(service, Signal::CONT);
    until("the end of the lease", || node.status().lease.is_none());
    assert_eq!((node.status().pid, pid_of_service(&node)), (gate, service));
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    let mut session = node.session();
    session.begin().unwrap();
    session.finish().unwrap();
}

#[test]
fn a_new_gate_has_new_settings_and_an_old_one_that_was_killed_is_no_matter() {
    let mut node = Node::running("");
    let service = pid_of_service(&node);
    let old = node.address;
    node.address = crate::node::free_address();
    let text = fs::read_to_string(node.root.node_toml()).unwrap();
    let text = text.replace(&old.to_string(), &node.address.to_string());
    fs::write(node.root.node_toml(), text).unwrap();
    node.replace_gate().wait().unwrap();
    assert_eq!(node.status().listen, node.address);
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    assert!(std::net::TcpStream::connect(old).is_err(), "nobody is at the old address");

    node.signal(Signal::KILL);
    node.wait_end();
    node.start_with(|command| {
        command.arg("--replace");
    });
    node.wait_open();
    assert_eq!(pid_of_service(&node), service);
}

#[test]
fn the_manager_hears_who_the_main_process_is() {
    let mut node = Node::new("");
    let path = node.root.path().join("notify");
    let manager = crate::manager::Manager::at(&path);
    // As systemd has it: its watchdog looks at this process.
    node.start_with(|command| {
        let gate = std::mem::replace(command, Command::new("sh"));
        command.args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"]).arg(gate.get_program());
        command.args(gate.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    });
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    let mut command = node.gate_command();
    command.args(["--replace", "--background"]).env("NOTIFY_SOCKET", &path);
    assert!(command.status().unwrap().success());
    assert!(node.wait_end().success(), "the old one has ended");
    let pid = node.status().pid;
    assert_eq!(manager.hears("MAINPID="), format!("MAINPID={pid}\nREADY=1"));
    manager.forget(&path);
    manager.hears("WATCHDOG=1");
    signal(pid, Signal::TERM);
    manager.hears("STOPPING=1");
    until("its end", || !lives(pid));
}

#[test]
fn ending_after_a_replacement_ends_everything() {
    let (mut node, mut before, mut held) = replaced_with_a_request();
    let service = pid_of_service(&node);
    node.signal(Signal::TERM);
    node.answer_held();
    assert_eq!(held.answer().text(), "1.0.0", "the old gate's last request has its service");
    assert!(before.wait().unwrap().success() && node.wait_end().success());
    assert!(!lives(service));
}

#[test]
fn a_swap_goes_on_after_a_replacement() {
    let mut node = Node::running("");
    node.release("1.1.0", Mode::Good);
    node.replace_gate().wait().unwrap();
    let load = Load::start(node.address, 4);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    node.switch("1.1.0");
    session.promote().unwrap();
    session.retire().unwrap();
    session.finish().unwrap();
    let seen = load.stop();
    assert!(seen.iter().all(|(status, _)| *status == 200), "a request failed");
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.1.0");
}

/// The old gate is told to end while another one has all in its hands and has not taken over.
#[test]
fn a_gate_that_ends_before_it_is_replaced_ends_its_service_itself() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    let log = node.root.path().join("gate.log");
    node.start_with(|command| {
        command.stderr(fs::File::create(&log).unwrap());
    });
    node.wait_open();
    let service = pid_of_service(&node);
    // The successor waits for its answer.
    stop(service);
    let mut successor = node.gate_command().arg("--replace").stderr(Stdio::null()).spawn().unwrap();
    until("its lease", || node.status().lease == Some(successor.id()));
    node.signal(Signal::TERM);
    until("the beginning of the end", || {
        fs::read_to_string(&log).unwrap().contains("drain: got SIGTERM")
    });
    signal(service, Signal::CONT);
    assert!(node.wait_end().success());
    assert!(!successor.wait().unwrap().success(), "it was refused");
    assert!(!lives(service) && !node.root.control().exists());
    assert!(std::net::TcpStream::connect(node.address).is_err(), "nobody is left");
    node.start();
    node.wait_open();
}

/// Both are told to end, each after the other has decided.
#[test]
fn one_gate_ends_all_where_both_are_told_to() {
    let (mut node, mut before, mut held) = replaced_with_a_request();
    let service = pid_of_service(&node);
    signal(before.id(), Signal::TERM);
    node.answer_held();
    // It is the new gate's service, and its socket.
    assert_eq!(held.answer().text(), "1.0.0");
    assert!(before.wait().unwrap().success());
    assert!(lives(service) && node.root.control().exists());
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
    assert!(!lives(service) && !node.root.control().exists());
}

/// Killed right after it took over: the gate before it holds nothing any more, so that a third one can
/// come at once, although there is a connection that keeps the first.
#[test]
fn a_new_gate_that_dies_leaves_the_place_free() {
    let mut node = Node::running("");
    let service = pid_of_service(&node);
    let mut tunnel = Client::connect(node.address);
    tunnel.say(
        "GET /upgrade HTTP/1.1\r\nhost: s\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    assert!(tunnel.head().starts_with("HTTP/1.1 101 "));
    let mut before = node.replace_gate();
    node.signal(Signal::KILL);
    node.wait_end();
    until("nobody listens", || std::net::TcpStream::connect(node.address).is_err());
    node.start();
    node.wait_open();
    assert_eq!(pid_of_service(&node), service);
    before.wait().unwrap();
}

#[test]
fn a_gate_killed_with_all_on_offer_has_left_its_place() {
    let mut node = Node::running("");
    let service = pid_of_service(&node);
    stop(service);
    let mut successor = node.gate_command().arg("--replace").spawn().unwrap();
    until("its lease", || node.status().lease == Some(successor.id()));
    node.signal(Signal::KILL);
    node.wait_end();
    signal(service, Signal::CONT);
    until("the new gate", || {
        let session = Session::connect(&node.root).unwrap();
        session.is_some_and(|mut session| {
            session.status().is_ok_and(|status| status.pid == successor.id())
        })
    });
    assert_eq!(pid_of_service(&node), service);
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    signal(successor.id(), Signal::TERM);
    assert!(successor.wait().unwrap().success());
    assert!(!lives(service));
}
