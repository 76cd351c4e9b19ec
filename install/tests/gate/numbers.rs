//! What the gate tells of itself: metrics and the access log.

use crate::client::Client;
use crate::node::{Mode, Node, free_address, until};

/// The value of one line.
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{line} is not in\n{text}")).parse().unwrap()
}

#[test]
fn numbers_are_told_where_clients_do_not_come() {
    let address = free_address();
    let node = Node::running(&format!("metrics = \"{address}\""));
    let mut client = Client::connect(node.address);
    for (path, status) in [("/version", 200), ("/slow", 200), ("/nothing", 404), ("/break", 502)] {
        assert_eq!(client.get(path).status(), status);
    }
    node.session().maintenance_on(None, None).unwrap();
    assert_eq!(client.get("/version").status(), 503);

    until("metrics", || std::net::TcpStream::connect(address).is_ok());
    let answer = Client::connect(address).get("/metrics");
    assert_eq!(answer.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for (line, expected) in [
        ("cutover_gate_state{state=\"open\"}", 0.0),
        ("cutover_gate_state{state=\"backoff\"}", 1.0),
        ("cutover_gate_release_up{version=\"1.0.0\"}", 1.0),
        ("cutover_gate_in_flight", 0.0),
        ("cutover_gate_waiting", 0.0),
        ("cutover_gate_connections", 1.0),
        ("cutover_gate_connections_refused_total", 0.0),
        ("cutover_gate_refused_total", 1.0),
        ("cutover_gate_failed_total", 1.0),
        ("cutover_gate_resent_total", 1.0),
        ("cutover_gate_restarts_total", 0.0),
        ("cutover_gate_answers_total{version=\"\",class=\"5xx\"}", 2.0),
        ("cutover_gate_answers_total{version=\"1.0.0\",class=\"2xx\"}", 2.0),
        ("cutover_gate_answers_total{version=\"1.0.0\",class=\"4xx\"}", 1.0),
        ("cutover_gate_answer_seconds_count{version=\"1.0.0\"}", 3.0),
        ("cutover_gate_answer_seconds_bucket{version=\"1.0.0\",le=\"+Inf\"}", 3.0),
    ] {
        assert!((value(text, line) - expected).abs() < f64::EPSILON, "{line} in\n{text}");
    }
    let slow = "cutover_gate_answer_seconds_bucket{version=\"1.0.0\",le=\"0.25\"}";
    assert!(value(text, slow) <= 2.0, "/slow takes 300 ms\n{text}");
    assert!(value(text, "cutover_gate_answer_seconds_sum{version=\"1.0.0\"}") >= 0.3);
    assert!(value(text, "cutover_gate_dark_seconds_total") >= 0.0);
    // Each family is described, once, before its lines.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let kind = format!("# TYPE {} ", family.unwrap_or(name));
        assert_eq!(text.matches(&kind).count(), 1, "{kind}");
    }

    assert_eq!(Client::connect(address).get("/").status(), 404);
    node.session().maintenance_off().unwrap();
    for path in ["/metrics", "/.cutover/metrics"] {
        assert_eq!(client.get(path).status(), 404, "{path} is not where clients are");
    }
}

#[test]
fn a_taken_address_of_metrics_is_no_reason_not_to_serve() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let node = Node::running(&format!("metrics = \"{address}\""));
    assert_eq!(Client::connect(node.address).get("/version").status(), 200);
    drop(taken);
    until("metrics", || std::net::TcpStream::connect(address).is_ok());
    assert_eq!(Client::connect(address).get("/metrics").status(), 200);
}

/// The lines of the access log, once there are `count` of them.
fn lines(node: &Node, name: &str, count: usize) -> Vec<serde_json::Value> {
    let path = node.root.path().join(name);
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    until("all lines", || read().lines().count() >= count);
    read().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_request_is_a_line() {
    let mut node = Node::running("access-log = { file = \"access.log\" }");
    let mut client = Client::connect(node.address);
    client.say("GET /version?secret=1 HTTP/1.1\r\nhost: s\r\nx-request-id: mine\r\n\r\n");
    client.answer();
    client.get("/slow");
    client.get("/break");
    let mut gone = Client::connect(node.address);
    gone.say("GET /held HTTP/1.1\r\nhost: s\r\n\r\n");
    until("a request in flight", || node.status().in_flight == 1);
    drop(gone);
    let lines_of = lines(&node, "access.log", 4);
    let first = &lines_of[0];
    assert_eq!((&first["path"], &first["status"]), (&"/version".into(), &404.into()));
    assert_eq!((&first["version"], &first["id"]), (&"1.0.0".into(), &"mine".into()));
    assert_eq!((&first["client"], &first["method"]), (&"127.0.0.1".into(), &"GET".into()));
    assert_eq!(first["bytes"], 1);
    assert!(first["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(lines_of[1]["ms"].as_f64().unwrap() >= 300.0);
    assert_eq!((&lines_of[2]["status"], &lines_of[2]["version"]), (&502.into(), &().into()));
    assert_eq!((&lines_of[3]["status"], &lines_of[3]["path"]), (&499.into(), &"/held".into()));

    // Whoever renames the file says so.
    let path = node.root.path().join("access.log");
    std::fs::rename(&path, node.root.path().join("taken-away")).unwrap();
    client.get("/version");
    lines(&node, "taken-away", 5);
    node.signal(rustix::process::Signal::HUP);
    until("another file", || path.exists());
    client.get("/health");
    assert_eq!(lines(&node, "access.log", 1)[0]["path"], "/health");
    for _ in 0..500 {
        client.get("/version");
    }
    node.signal(rustix::process::Signal::TERM);
    assert!(node.wait_end().success());
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 501, "none is lost");
}

#[test]
fn what_is_refused_unread_has_a_name_and_a_line() {
    let node = Node::running("access-log = { file = \"a.log\" }\nmax-connections = 1");
    let mut client = Client::connect(node.address);
    assert_eq!(client.get("/version").status(), 200);
    let mut refused = vec![Client::connect(node.address).answer()];
    client.say("GET /version HTTP/1.1\r\nhost : s\r\n\r\n");
    refused.push(client.answer());
    assert_eq!(client.rest(), b"");
    let seen = lines(&node, "a.log", 3);
    for ((answer, line), status) in refused.iter().zip(&seen[1..]).zip([503, 400]) {
        assert_eq!((answer.status(), answer.field("connection")), (status, Some("close")));
        let body: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
        assert_eq!((&body["code"], &line["status"]), (&status.into(), &status.into()));
        assert_eq!(Some(line["id"].as_str().unwrap()), answer.field("x-request-id"));
        assert_eq!((&line["method"], &line["path"]), (&().into(), &().into()));
        assert_eq!(line["bytes"], answer.body.len());
    }
}

#[test]
fn a_gate_ends_although_its_access_log_stands_still() {
    let mut node = Node::new("access-log = { file = \"a.log\" }");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    // A pipe that nobody reads takes 64 KiB; then its writer waits for ever.
    let pipe = node.root.path().join("a.log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let _reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let words = node.root.path().join("words");
    let stderr = std::fs::File::create(&words).unwrap();
    node.start_with(|command| {
        command.stderr(stderr);
    });
    node.wait_open();
    let mut client = Client::connect(node.address);
    let path = format!("/version/{}", "x".repeat(1000));
    for _ in 0..100 {
        client.get(&path);
    }
    node.signal(rustix::process::Signal::TERM);
    let text = || std::fs::read_to_string(&words).unwrap();
    until("the end of what the gate does", || text().contains("the gate has ended"));
    // Nobody waits for the log: another gate could be here at once.
    until("the gate's place to be free", || {
        let lock = std::fs::File::open(node.root.gate_lock()).unwrap();
        rustix::fs::flock(lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
    });
    assert!(!text().contains("stands still"), "{}", text());
    assert!(node.wait_end().success());
    let line = text().lines().find(|line| line.contains("stands still")).unwrap().to_owned();
    assert!(line.contains("a.log") && line.contains("lines="), "{line}");
}

#[test]
fn the_access_log_has_a_size() {
    let node = Node::running("access-log = { file = \"a.log\", size = \"4KiB\", files = 2 }");
    let mut client = Client::connect(node.address);
    for _ in 0..100 {
        client.get("/version");
    }
    let length = |name| std::fs::metadata(node.root.path().join(name)).map(|found| found.len());
    until("two files", || length("a.log").is_ok() && length("a.log.1").is_ok());
    assert!(length("a.log.1").unwrap() <= 4096);
    assert!(!node.root.path().join("a.log.2").exists());
    lines(&node, "a.log.1", 10);
}
