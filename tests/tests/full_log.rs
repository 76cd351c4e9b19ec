//! A disk that is full costs lines of the access log; those that are there are whole, each an object.

use std::net::SocketAddr;
use std::path::Path;

use cutover_tests::image::{Image, Kind};
use cutover_tests::world::{World, free_address, get, wait_until};
use serde_json::Value;

/// Requests in each part of the test: many blocks of lines.
const REQUESTS: usize = 200;

fn ask(gate: SocketAddr, path: &str) {
    for _ in 0..REQUESTS {
        let answer = get(gate, path).map(|(status, _)| status);
        assert_eq!(answer, Some(200), "a log is no reason to fail");
    }
}

fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).expect("a log");
    let object =
        |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(object).collect()
}

fn asked(lines: &[Value], path: &str) -> usize {
    lines.iter().filter(|line| line["path"] == path).count()
}

fn lost(metrics: SocketAddr) -> usize {
    let (_, text) = get(metrics, "/metrics").expect("numbers");
    let line = text.lines().find(|line| line.starts_with("cutover_gate_access_log_lost_total "));
    let (_, number) = line.and_then(|line| line.split_once(' ')).expect("how many");
    number.parse().expect("a number")
}

#[test]
fn lines_are_lost_whole_and_counted() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let disk = Image::new(&world.path(""), Kind::Ext4, 16);
    let log = disk.path().join("access.log");
    let (gate, metrics) = (free_address(), free_address());
    let node = world.node(Some(gate));
    let settings =
        format!("[gate]\naccess-log = {{ file = \"{}\" }}\nmetrics = \"{metrics}\"", log.display());
    node.change("[gate]", &settings);
    let mut running = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();

    ask(gate, "/before");
    wait_until("all lines", || asked(&lines(&log), "/before") == REQUESTS);
    disk.fill(0);
    ask(gate, "/full");
    wait_until("the disk is full", || lost(metrics) > 0);
    disk.empty();
    ask(gate, "/after");
    running.end();

    let lines = lines(&log);
    assert_eq!(asked(&lines, "/before"), REQUESTS);
    assert!(asked(&lines, "/full") < REQUESTS);
    assert_eq!(asked(&lines, "/after"), REQUESTS);
}
