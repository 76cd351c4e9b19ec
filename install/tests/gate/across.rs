//! What takes long, while releases change underneath.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::node::{Mode, Node, until, version};
use rustix::process::Signal;

fn upgrade(node: &Node) -> Client {
    let mut client = Client::connect(node.address);
    client.say(
        "GET /upgrade HTTP/1.1\r\nhost: s\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client
}

fn echo(client: &mut Client) {
    client.say("ping");
    assert_eq!(client.exactly(4), b"ping");
}

#[test]
fn a_long_upload_and_a_long_download_outlast_a_swap() {
    let node = Node::running_one("", Mode::Lasting);
    node.release("1.1.0", Mode::Good);
    let mut upload = Client::connect(node.address);
    upload.say("POST /count HTTP/1.1\r\nhost: s\r\ncontent-length: 3000000\r\n\r\n");
    let mut writer = upload.writer();
    writer.write_all(&[b'x'; 1_000_000]).unwrap();
    let mut download = Client::connect(node.address);
    download.say("GET /large HTTP/1.1\r\nhost: s\r\n\r\n");
    let head = download.head();
    assert!(head.contains("x-cutover-version: 1.0.0"), "{head}");
    download.exactly(1 << 20);
    until("both in flight", || node.status().in_flight == 2);

    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    session.promote().unwrap();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.1.0");
    let retiring = std::thread::spawn(move || session.retire().map(|_| session));
    // The drain has begun; both go on through it.
    writer.write_all(&[b'x'; 2_000_000]).unwrap();
    let answer = upload.answer();
    assert_eq!((answer.text(), answer.field("x-cutover-version")), ("3000000", Some("1.0.0")));
    assert_eq!(download.exactly(63 << 20).len(), 63 << 20);
    let mut session = retiring.join().unwrap().unwrap();
    let figures = session.finish().unwrap();
    assert_eq!((figures.held, figures.refused, figures.failed), (0, 0, 0));
    assert_eq!(download.get("/version").text(), "1.1.0", "the connection stays");
}

#[test]
fn a_tunnel_lives_through_the_drain_and_is_closed_after_it() {
    let node = Node::running_one("", Mode::Enduring);
    node.release("1.1.0", Mode::Good);
    let service = node.status().running.unwrap().pid.unwrap();
    let mut tunnel = upgrade(&node);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    session.promote().unwrap();
    echo(&mut tunnel);
    let began = Instant::now();
    let retiring = std::thread::spawn(move || session.retire().unwrap());
    until("the other release", || Client::connect(node.address).get("/version").text() == "1.1.0");
    echo(&mut tunnel);
    assert_eq!(tunnel.rest(), b"", "closed, without a word from the service");
    assert!(began.elapsed() >= Duration::from_millis(3900), "it had its time");
    // The service takes no SIGTERM and lives as long again: it was the gate that closed.
    assert!(std::path::Path::new(&format!("/proc/{service}")).exists());
    assert!(retiring.join().unwrap() >= Duration::from_secs(8));
    assert_eq!(node.status().in_flight, 0);

    // A new one goes to the new release.
    let mut tunnel = upgrade(&node);
    echo(&mut tunnel);
}

#[test]
fn a_tunnel_counts_among_the_connections_and_is_closed_when_the_gate_ends() {
    let mut node = Node::running_one("max-connections = 1", Mode::Lasting);
    let mut tunnel = upgrade(&node);
    assert_eq!(Client::connect(node.address).answer().status(), 503, "there is no room");
    echo(&mut tunnel);
    let began = Instant::now();
    node.signal(Signal::TERM);
    until("the drain", || std::net::TcpStream::connect(node.address).is_err());
    echo(&mut tunnel);
    assert_eq!(tunnel.rest(), b"");
    assert!(began.elapsed() >= Duration::from_millis(3900), "it had its time");
    assert!(node.wait_end().success());
}
