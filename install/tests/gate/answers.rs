//! What the gate says by itself, and to whom.

use std::collections::BTreeSet;
use std::fs;

use crate::client::{Answer, Client};
use crate::node::{Mode, Node, until, version};
use rustix::process::Signal;

fn ask(node: &Node, fields: &str) -> Answer {
    let mut client = Client::connect(node.address);
    client.say(format!("GET / HTTP/1.1\r\nhost: s\r\n{fields}\r\n"));
    client.answer()
}

#[test]
fn the_operators_own_pages_are_served_by_what_clients_accept() {
    let mut node = Node::new("page = \"shared/closed.html\"\njson-page = \"shared/closed.json\"");
    fs::create_dir_all(node.root.shared()).unwrap();
    let (html, json) =
        (node.root.shared().join("closed.html"), node.root.shared().join("closed.json"));
    fs::write(&html, "<p class='{a}'>{message} {seconds}").unwrap();
    fs::write(&json, "{\"detail\": \"{message}\", \"in\": {seconds}}").unwrap();
    node.start();
    node.session().maintenance_on(None, Some("moving \"<racks>\"")).unwrap();

    let answer = ask(&node, "accept: text/html;q=0.9, application/json;q=0.1\r\n");
    let seconds = answer.field("retry-after").unwrap();
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    let page = format!("<p class='{{a}}'>moving &quot;&lt;racks&gt;&quot; {seconds}");
    assert_eq!(answer.text(), page);

    let answer = ask(&node, "accept: text/html;q=0.1, application/json;q=0.9\r\n");
    let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(value["detail"], "moving \"<racks>\"");
    assert_eq!(value["in"].to_string(), answer.field("retry-after").unwrap());

    // Read anew on SIGHUP; a page that cannot be used changes nothing.
    fs::write(&html, "new {seconds}").unwrap();
    node.signal(Signal::HUP);
    until("the new page", || ask(&node, "accept: text/html\r\n").text().starts_with("new "));
    fs::write(&html, b"\xff").unwrap();
    fs::write(&json, "{\"new\": 1}").unwrap();
    node.signal(Signal::HUP);
    fs::write(&html, "newer {seconds}").unwrap();
    node.signal(Signal::HUP);
    until("the newer page", || ask(&node, "accept: text/html\r\n").text().starts_with("newer "));
    assert_eq!(ask(&node, "").text(), "{\"new\": 1}");
}

#[test]
fn a_page_that_cannot_be_used_is_said_at_once() {
    let node = Node::new("page = \"shared/closed.html\"");
    let output = node.gate_command().stderr(std::process::Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot read the page") && text.contains("closed.html"), "{text}");
}

#[test]
fn clients_are_told_by_the_names_they_know_and_come_back_one_by_one() {
    let node = Node::running(
        "backoff-headers = [\"Backoff\", \"X-Weave-Backoff\", \"X-Weave-Maintenance\"]",
    );
    let mut session = node.session();
    session.begin().unwrap();
    session.announce(7).unwrap();
    let answer = Client::connect(node.address).get("/version");
    assert_eq!(answer.status(), 200);
    assert_eq!((answer.field("backoff"), answer.field("x-weave-backoff")), (Some("7"), Some("7")));
    assert_eq!((answer.field("x-backoff"), answer.field("x-weave-maintenance")), (None, None));
    session.open().unwrap();
    session.finish().unwrap();

    node.session().maintenance_on(None, None).unwrap();
    let mut client = Client::connect(node.address);
    let mut seen = BTreeSet::new();
    for _ in 0..400 {
        let answer = client.get("/version");
        let seconds = answer.field("retry-after").unwrap();
        assert_eq!(answer.field("backoff"), Some(seconds));
        assert_eq!(answer.field("x-weave-backoff"), Some(seconds));
        assert_eq!(answer.field("x-weave-maintenance"), Some("true"));
        assert_eq!(answer.field("x-backoff"), None);
        seen.insert(seconds.parse::<u64>().unwrap());
    }
    // 60 seconds, and up to half as long again: 400 draws of 32 leave next to none of them out.
    assert!(seen.iter().all(|seconds| (60..=91).contains(seconds)), "{seen:?}");
    assert!(seen.len() >= 24, "{seen:?}");
}

#[test]
fn some_paths_are_always_open_where_a_service_runs() {
    let node = Node::running("always = [\"/version\", \"/open/**\"]\nhold-max = \"200ms\"");
    node.release("1.1.0", Mode::Good);
    let mut client = Client::connect(node.address);
    node.session().maintenance_on(None, None).unwrap();
    assert_eq!(client.get("/version").text(), "1.0.0");
    for open in ["/version?a=b", "/open/anything"] {
        assert_eq!(client.get(open).status(), 404, "{open}: the service's own");
    }
    for closed in ["/", "/version/", "//version", "/open/../head", "/open/%2e%2e/head"] {
        assert_eq!(client.get(closed).status(), 503, "{closed}");
    }
    assert_eq!(client.get("/.cutover/ready").status(), 503);
    node.session().maintenance_off().unwrap();

    let mut session = node.session();
    session.begin().unwrap();
    session.hold().unwrap();
    assert_eq!(client.get("/version").text(), "1.0.0", "it runs still");
    assert_eq!(client.get("/head").status(), 503, "after a wait");
    session.stop_running().unwrap();
    assert_eq!(client.get("/version").status(), 503, "nothing runs");
    node.switch("1.1.0");
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    session.promote().unwrap();
    assert_eq!(client.get("/version").text(), "1.1.0", "it runs, though the gate holds still");
    session.open().unwrap();
    session.finish().unwrap();
}

#[test]
fn readiness_is_told_in_every_state() {
    let mut node = Node::running_one("", Mode::Patient);
    let mut client = Client::connect(node.address);
    let mut told = |ready: u16| {
        assert_eq!(client.get("/.cutover/alive").status(), 200);
        assert_eq!(client.get("/.cutover/ready").status(), ready);
        assert_eq!(client.get("/.cutover/ready?x=/").status(), ready);
        client.say("HEAD /.cutover/ready HTTP/1.1\r\nhost: s\r\n\r\n");
        assert!(client.head().starts_with(&format!("HTTP/1.1 {ready} ")));
    };
    told(200);
    node.session().maintenance_on(None, None).unwrap();
    told(503);
    node.session().maintenance_off().unwrap();
    let mut session = node.session();
    session.begin().unwrap();
    session.hold().unwrap();
    told(503);
    session.backoff().unwrap();
    told(503);
    session.open().unwrap();
    told(200);
    session.finish().unwrap();
    drop(session);

    // Draining: what is in flight keeps the gate alive; a request on its connection meets the end.
    let mut held = Client::connect(node.address);
    held.say("GET /held HTTP/1.1\r\nhost: s\r\n\r\n");
    let mut late = Client::connect(node.address);
    late.say("GET /.cutover/rea");
    until("a request in flight", || node.status().in_flight == 1);
    node.signal(Signal::TERM);
    until("the drain", || std::net::TcpStream::connect(node.address).is_err());
    late.say("dy HTTP/1.1\r\nhost: s\r\n\r\n");
    let rest = String::from_utf8(late.rest()).unwrap();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 503"), "{rest}");
    node.answer_held();
    assert_eq!(held.answer().text(), "1.0.0");
    assert!(node.wait_end().success());
}

#[test]
fn requests_have_a_name_all_the_way() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    client.say("GET /head HTTP/1.1\r\nhost: s\r\nx-request-id: mine-1\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.field("x-request-id"), Some("mine-1"));
    assert!(answer.text().contains("x-request-id: mine-1\r\n"), "{}", answer.text());

    let mut names = BTreeSet::new();
    for bad in ["", "x-request-id: a b\r\n", "x-request-id: a\r\nx-request-id: b\r\n"] {
        client.say(format!("GET /head HTTP/1.1\r\nhost: s\r\n{bad}\r\n"));
        let answer = client.answer();
        let name = answer.field("x-request-id").unwrap();
        assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        let sent: Vec<_> =
            answer.text().lines().filter(|line| line.starts_with("x-request-id")).collect();
        assert_eq!(sent, [format!("x-request-id: {name}")]);
        names.insert(name.to_owned());
    }
    assert_eq!(names.len(), 3);
    node.session().maintenance_on(None, None).unwrap();
    assert!(client.get("/").field("x-request-id").is_some(), "refusals have one as well");
}
