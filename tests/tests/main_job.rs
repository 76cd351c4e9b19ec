//! The main job on a small service: release, install, swap in every way under traffic, go back.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use cutover_formats::digest::Digest;
use cutover_tests::traffic::{Tally, Traffic};
use cutover_tests::world::{NodeDir, Run, World, free_address, get, wait_until};
use serde_json::Value;

/// Runs `install` with these arguments on a node whose gate is asked all the time.
fn under_traffic(node: &NodeDir<'_>, arguments: &[&str]) -> (Value, Tally) {
    let address = node.gate.expect("the node has a gate");
    let pause = Duration::from_millis(5);
    let traffic = Traffic::gets(address, "/", 4, pause);
    let calm = Duration::from_millis(300);
    let (run, tally) = traffic.beside(calm, || node.install([arguments, &["--json"]].concat()));
    (run.ok().json(), tally)
}

fn serving(node: &NodeDir<'_>, version: &str) {
    wait_until("the release is served", || {
        let answer = get(node.gate.expect("the node has a gate"), "/");
        answer.is_some_and(|(status, body)| status == 200 && body.contains(version))
    });
}

#[test]
fn swaps_that_nobody_notices_or_everybody_is_told_of() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let mut gate = node.start_gate();
    serving(&node, "1.0.0");

    let (receipt, tally) = under_traffic(&node, &["^1.0"]);
    assert_eq!((&receipt["from"], &receipt["to"]), (&"1.0.0".into(), &"1.1.0".into()));
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
    assert!(tally.served["1.0.0"] > 0 && tally.served["1.1.0"] > 0, "{tally:?}");
    assert_eq!(receipt["gate"]["dark"], 0.0);

    let (_, tally) = under_traffic(&node, &["rollback", "--swap", "hold"]);
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
    assert!(tally.served["1.0.0"] > 0 && tally.served["1.1.0"] > 0, "{tally:?}");

    let (receipt, tally) = under_traffic(&node, &["stable", "--swap", "backoff"]);
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.refused > 0, "{tally:?}");
    assert!(receipt["gate"]["dark"].as_f64().unwrap() > 0.0);

    let status = node.status();
    assert_eq!((&status["current"], &status["previous"]), (&"1.1.0".into(), &"1.0.0".into()));
    assert_eq!(status["gate"]["state"], "open");
    let _ = node.install(["verify", "--all"]).ok();
    assert_eq!(gate.end(), Some(0));
}

#[test]
fn a_gate_that_has_nothing_to_serve_yet_serves_the_first_install() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _gate = node.start_gate();
    let (status, _) = get(node.gate.unwrap(), "/").expect("the gate answers");
    assert_eq!(status, 503);
    let _ = node.install(["1.0.0"]).ok();
    serving(&node, "1.0.0");
}

#[test]
fn over_http_too() {
    let world = World::new();
    std::fs::write(world.path("tokens"), "ci s3cret-token\n").unwrap();
    let tokens = world.path("tokens").display().to_string();
    let (_server, url) = world.serve(&["--tokens", &tokens]);
    let tree = world.tree("tiny");
    tree.tag("2.0.0");
    let mut pack = world.packer();
    pack.env("CUTOVER_REPO", &url).env("CUTOVER_TOKEN", "s3cret-token");
    let _ = Run::of(pack.args(["release", "--source", "tree"])).ok();
    let node = world.node(None);
    node.takes_from(&url);
    let plan = node.install(["plan", "2.0.0", "--json"]).ok().json();
    assert!(plan["fetch"].as_u64().unwrap() > 0);
    assert_eq!(node.current(), None);
    let _ = node.install(["2.0.0"]).ok();
    assert_eq!(node.current().as_deref(), Some("2.0.0"));
    let app = node.root.join("current/app.py");
    assert_eq!(std::fs::read(app).unwrap(), std::fs::read(tree.folder.join("app.py")).unwrap());
}

/// What a server sweeps is what no release has: neither less, nor more.
#[test]
fn a_server_keeps_what_a_release_has_and_nothing_beside_it() {
    let world = World::new();
    std::fs::write(world.path("tokens"), "ci s3cret-token\n").unwrap();
    let tokens = world.path("tokens").display().to_string();
    let (server, url) = world.serve(&["--tokens", &tokens]);
    let tree = world.tree("tiny");
    tree.tag("1.0.0");
    let mut pack = world.packer();
    pack.env("CUTOVER_REPO", &url).env("CUTOVER_TOKEN", "s3cret-token");
    let _ = Run::of(pack.args(["release", "--source", "tree"])).ok();
    let files = |folder: &str| -> BTreeSet<OsString> {
        let entries = std::fs::read_dir(world.repository().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    assert!(files(".incoming/uncommitted").is_empty(), "the release has all that was uploaded");
    let folder = "targets/releases/tiny/1.0.0";
    let published = files(folder);
    // An empty file, with its digest in its name.
    let junk = format!("/{folder}/{}.junk", Digest::of(b""));
    let address = url.trim_start_matches("http://").parse().unwrap();
    let mut stream = TcpStream::connect::<SocketAddr>(address).unwrap();
    write!(
        stream,
        "PUT {junk} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nIf-None-Match: *\r\n\
         Authorization: Bearer s3cret-token\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(files(folder).len(), published.len() + 1);
    drop(server);
    let _server = world.serve(&["--tokens", &tokens, "--keep-uncommitted", "0"]);
    wait_until("it is swept", || files(".incoming/uncommitted").is_empty());
    assert_eq!(files(folder), published);
}

#[test]
fn maintenance_is_the_operators_word() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let mut gate = node.start_gate();
    serving(&node, "1.0.0");
    let _ = node.install(["maintenance", "on", "--message", "moving house"]).ok();
    let (status, body) = get(node.gate.unwrap(), "/").unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("moving house"), "{body}");
    gate.end();
    let _gate = node.start_gate();
    wait_until("maintenance outlives the gate", || {
        get(node.gate.unwrap(), "/").is_some_and(|(status, _)| status == 503)
    });
    let _ = node.install(["maintenance", "off"]).ok();
    serving(&node, "1.0.0");
}
