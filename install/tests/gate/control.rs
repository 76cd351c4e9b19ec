//! Who may tell the gate what, and what it does when nobody does any more.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::client::Client;
use crate::node::{Mode, Node, until, version};
use cutover_formats::exit::{Exit, Explain};
use cutover_install::gate::{ControlError, Session, State};
use cutover_install::root::Root;
use jiff::Timestamp;
use rustix::process::Signal;

#[test]
fn no_gate_is_no_error() {
    let node = Node::new("");
    assert!(Session::connect(&node.root).unwrap().is_none());
    std::fs::create_dir_all(node.root.run()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(node.root.control()).unwrap());
    assert!(Session::connect(&node.root).unwrap().is_none(), "a stale socket is no gate");
}

#[test]
fn nothing_installed_is_said() {
    let mut node = Node::new("");
    node.start();
    until("a look around", || node.status().state == State::Backoff);
    assert!(node.status().reason.starts_with("no service to run"), "{}", node.status().reason);
    let mut client = Client::connect(node.address);
    assert_eq!(client.get("/").status(), 503);
    assert_eq!(client.get("/.cutover/alive").status(), 200);
    assert_eq!(client.get("/.cutover/ready").status(), 503);

    // The first install ever.
    node.release("1.0.0", Mode::Good);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.0.0")).unwrap();
    session.wait_healthy().unwrap();
    node.switch("1.0.0");
    session.promote().unwrap();
    session.retire().unwrap();
    session.finish().unwrap();
    assert_eq!(client.get("/version").text(), "1.0.0");
}

#[test]
fn one_install_at_a_time() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::running("");
    let mode = std::fs::metadata(node.root.control()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (mut first, mut second) = (node.session(), node.session());
    assert!(matches!(first.hold(), Err(ControlError::Refused(_))), "begin comes first");
    first.begin().unwrap();
    let error = second.begin().unwrap_err();
    assert_eq!(error.exit(), Exit::Busy);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert_eq!(second.status().unwrap().lease, Some(std::process::id()));
    first.finish().unwrap();
    second.begin().unwrap();
}

#[test]
fn an_install_that_breaks_off_before_the_switch_leaves_the_old() {
    let node = Node::running("");
    node.release("1.1.0", Mode::Good);
    let mut session = node.session();
    session.begin().unwrap();
    session.hold().unwrap();
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    session.stop_running().unwrap();
    drop(session);
    until("1.0.0 again", || node.status().state == State::Open);
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    // Waits for the end of the tidying.
    node.session().begin().unwrap();
    assert_eq!(node.status().newcomer, None);
}

#[test]
fn an_install_that_breaks_off_after_the_switch_leaves_the_new() {
    let node = Node::running("");
    node.release("1.1.0", Mode::Slow);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    node.switch("1.1.0");
    drop(session);
    node.session().begin().unwrap();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.1.0");
    let status = node.status();
    assert_eq!((status.newcomer, status.retiring), (None, None));
}

#[test]
fn ending_lets_requests_finish() {
    let mut node = Node::running_one("", Mode::Patient);
    let service = node.status().running.unwrap().pid.unwrap();
    let mut idle = Client::connect(node.address);
    assert_eq!(idle.get("/version").status(), 200);
    let mut client = Client::connect(node.address);
    client.say("GET /held HTTP/1.1\r\nhost: s\r\n\r\n");
    until("a request in flight", || node.status().in_flight == 1);
    node.signal(Signal::TERM);
    until("the drain", || std::net::TcpStream::connect(node.address).is_err());
    node.answer_held();
    let answer = client.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("1.0.0", Some("close")));
    assert_eq!(idle.rest(), b"");
    assert!(node.wait_end().success());
    assert!(!Path::new(&format!("/proc/{service}")).exists());
    assert!(!node.root.control().exists());
    let left = std::fs::read_dir(node.root.run()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["gate.lock", "service-1.0.0.log"]);
}

#[test]
fn ending_while_tidying_up_leaves_nothing_running() {
    let mut node = Node::running("");
    node.release("1.1.0", Mode::Slow);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    node.switch("1.1.0");
    drop(session);
    until("tidying up", || node.status().lease.is_none());
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
    let left = std::fs::read_dir(node.root.run()).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_second_gate_and_a_taken_port_are_refused() {
    let node = Node::running("");
    let refused = |node: &Node| {
        let output = node.gate_command().stderr(Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = refused(&node);
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains(&format!("process {}", node.status().pid)), "{text}");

    let other = Node::new("");
    std::fs::copy(node.root.node_toml(), other.root.node_toml()).unwrap();
    let (code, text) = refused(&other);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("cannot listen on {}", node.address)), "{text}");
    assert_eq!(Client::connect(node.address).get("/version").status(), 200);
}

#[test]
fn a_root_too_deep_for_sockets_is_refused() {
    let mut node = Node::new("");
    let settings = node.root.node_toml();
    node.root = Root::new(node.root.path().join("x".repeat(100)));
    std::fs::create_dir(node.root.path()).unwrap();
    std::fs::copy(settings, node.root.node_toml()).unwrap();
    let output = node.gate_command().stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("107 bytes"), "{text}");
}

#[test]
fn maintenance_outlives_the_gate_and_ends_by_itself() {
    let mut node = Node::running("");
    node.session().maintenance_on(None, Some("moving <racks>")).unwrap();
    node.signal(Signal::TERM);
    node.wait_end();
    node.start();
    until("a service behind it", || node.status().running.is_some_and(|running| running.healthy));
    let mut client = Client::connect(node.address);
    client.say("GET / HTTP/1.1\r\nhost: s\r\naccept: text/html\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("moving &lt;racks&gt;"), "{}", answer.text());
    assert_eq!(node.status().maintenance.unwrap().message.as_deref(), Some("moving <racks>"));

    let until_then = Timestamp::now() + Duration::from_secs(3);
    node.session().maintenance_on(Some(until_then), None).unwrap();
    assert_eq!(client.get("/version").status(), 503);
    node.wait_open();
    assert!(Timestamp::now() >= until_then && !node.root.maintenance().exists());

    node.session().maintenance_on(None, None).unwrap();
    assert_eq!(client.get("/version").status(), 503);
    node.session().maintenance_off().unwrap();
    assert_eq!(client.get("/version").status(), 200);
}
