//! What the gate tells of itself: metrics and the access log.

use crate::client::Client;
use crate::node::{Node, free_address, until};

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
