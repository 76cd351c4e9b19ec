//! Clients that keep the gate waiting, and clients that want too much.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::node::{Node, free_address, until};

const BEAT: Duration = Duration::from_millis(100);

fn beats(count: u32, mut each: impl FnMut()) {
    for _ in 0..count {
        each();
        std::thread::sleep(BEAT);
    }
}

#[test]
fn a_head_that_comes_too_slowly_ends_the_connection() {
    let node = Node::running("patience = \"1s\"");
    let began = Instant::now();
    let mut slow = TcpStream::connect(node.address).unwrap();
    let mut sent = 0;
    while slow.write_all(b"x").is_ok() {
        sent += 1;
        std::thread::sleep(BEAT);
        assert!(began.elapsed() < Duration::from_secs(100), "it is let go on after {sent} bytes");
        assert_eq!(Client::connect(node.address).get("/version").status(), 200);
    }
    let (had, second) = (began.elapsed(), Duration::from_secs(1));
    assert!(had >= second, "it has a second, and ended after {had:?} and {sent} bytes");
}

#[test]
fn a_body_that_comes_in_drops_is_given_up() {
    let node = Node::running("patience = \"1s\"");
    let mut slow = Client::connect(node.address);
    slow.say("POST /count HTTP/1.1\r\nhost: s\r\ncontent-length: 1000\r\n\r\n");
    let mut dropping = slow.writer();
    let drops = std::thread::spawn(move || {
        (0..900)
            .take_while(|_| {
                std::thread::sleep(BEAT);
                dropping.write_all(b"x").is_ok()
            })
            .count()
    });
    let began = Instant::now();
    let answer = slow.answer();
    assert_eq!((answer.status(), answer.field("connection")), (408, Some("close")));
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    drop(slow);
    assert!(drops.join().unwrap() < 900);
    until("nothing in flight", || node.status().in_flight == 0);
    assert_eq!(node.status().failed, 0, "it is not the service's fault");
    assert_eq!(Client::connect(node.address).get("/version").status(), 200);
}

#[test]
fn a_slow_line_and_a_slow_service_are_waited_for() {
    let node = Node::running("patience = \"4s\"");
    // 5 kB/s, for longer than the patience.
    let mut slow = Client::connect(node.address);
    slow.say("POST /count HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\n\r\n");
    beats(50, || slow.say(format!("1f4\r\n{}\r\n", "x".repeat(500))));
    slow.say("0\r\n\r\n");
    assert_eq!(slow.answer().text(), "25000");

    let node = Node::running("patience = \"1s\"");
    // More than fits into all the buffers on the way, while the service sleeps.
    let length = 32 << 20;
    let mut client = Client::connect(node.address);
    client.say(format!("POST /late HTTP/1.1\r\nhost: s\r\ncontent-length: {length}\r\n\r\n"));
    client.say(vec![b'x'; length]);
    assert_eq!(client.answer().text(), length.to_string());
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let node = Node::running("patience = \"1s\"");
    let mut deaf = Client::connect(node.address);
    deaf.say("GET /large HTTP/1.1\r\nhost: s\r\n\r\n");
    until("a request in flight", || node.status().in_flight == 1);
    until("nothing in flight", || node.status().in_flight == 0);
    assert_eq!(node.status().failed, 0, "it is not the service's fault");

    // One that reads a little every now and then is not deaf.
    let node = Node::running("patience = \"4s\"");
    let mut slow = Client::connect(node.address);
    slow.say("GET /large HTTP/1.1\r\nhost: s\r\n\r\n");
    slow.head();
    let mut read = 0;
    beats(50, || read += slow.exactly(1 << 20).len());
    assert_eq!(slow.exactly((64 << 20) - read).len() + read, 64 << 20);
}

/// Whether an answer of `/large` comes to its end.
fn is_whole(client: &Client) -> bool {
    let (mut stream, mut room, mut read) = (client.writer(), vec![0; 1 << 20], 0);
    while read < 64 << 20 {
        match stream.read(&mut room) {
            Ok(more) if more > 0 => read += more,
            _ => return false,
        }
    }
    true
}

#[test]
fn what_lies_unread_has_a_size() {
    let address = free_address();
    let node =
        Node::running(&format!("max-unread-per-client = \"256KiB\"\nmetrics = \"{address}\""));
    until("metrics", || TcpStream::connect(address).is_ok());
    let told = |line: &str| Client::connect(address).get("/metrics").text().contains(line);
    let ask = || {
        let mut client = Client::connect(node.address);
        client.say("GET /large HTTP/1.1\r\nhost: s\r\n\r\n");
        client
    };
    let deaf = ask();
    until("it to wait", || told("cutover_gate_slow_clients 1\n"));
    let slow = ask();
    until("the end of one", || told("cutover_gate_slow_clients_ended_total 1\n"));
    until("the other to wait", || told("cutover_gate_slow_clients 1\n"));
    assert_eq!(node.status().failed, 0, "it is not the service's fault");
    assert!(!is_whole(&deaf), "it has waited for longest");
    assert!(is_whole(&slow), "the other is served to its end");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    let paths = ["/version", "/nothing", "/health", "/.cutover/alive"];
    let requests: String = (0..200)
        .map(|n| format!("GET {} HTTP/1.1\r\nhost: s\r\n\r\n", paths[n % paths.len()]))
        .collect();
    let mut writer = client.writer();
    let writing = std::thread::spawn(move || writer.write_all(requests.as_bytes()).unwrap());
    for n in 0..200 {
        let expected = ["1.0.0", "?", "well", "alive\n"][n % paths.len()];
        assert_eq!(client.answer().text(), expected);
    }
    writing.join().unwrap();
}

#[test]
fn heads_have_a_size() {
    let node = Node::running("");
    let field = |length: usize| format!("x-long: {}\r\n", "x".repeat(length));
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    for (target, fields, status) in [
        ("/version".to_owned(), field(16 * 1024), 200),
        ("/version".to_owned(), field(80 * 1024), 431),
        ("/version".to_owned(), fields(90), 200),
        ("/version".to_owned(), fields(200), 431),
        (format!("/{}", "x".repeat(16 * 1024)), String::new(), 404),
        (format!("/{}", "x".repeat(80 * 1024)), String::new(), 431),
    ] {
        let mut client = Client::connect(node.address);
        // It may be refused before all of it is sent.
        let head = format!("GET {target} HTTP/1.1\r\nhost: s\r\n{fields}\r\n");
        let sent = client.writer().write_all(head.as_bytes());
        assert_eq!(client.answer().status(), status, "{} bytes, {sent:?}", head.len());
    }
}

#[test]
fn connections_have_a_number() {
    for setting in ["max-connections = 4", "max-per-client = 4"] {
        let node = Node::running(setting);
        let mut clients: Vec<_> = (0..4).map(|_| Client::connect(node.address)).collect();
        for client in &mut clients {
            assert_eq!(client.get("/version").status(), 200);
        }
        let mut fifth = Client::connect(node.address);
        let answer = fifth.answer();
        assert_eq!((answer.status(), answer.field("connection")), (503, Some("close")));
        assert!(answer.field("retry-after").is_some() && answer.field("x-request-id").is_some());
        assert!(answer.text().contains("no room"), "{}", answer.text());
        assert_eq!(clients[0].get("/version").status(), 200, "those inside are served");
        clients.pop();
        until("a free place", || {
            let mut client = Client::connect(node.address);
            client.writer().write_all(b"GET /version HTTP/1.1\r\nhost: s\r\n\r\n").is_ok()
                && client.answer().status() == 200
        });
    }
}

#[test]
fn a_client_that_leaves_the_queue_makes_room() {
    let node = Node::running("hold-queue = 1");
    let mut session = node.session();
    session.begin().unwrap();
    session.hold().unwrap();
    let mut first = Client::connect(node.address);
    first.say("GET /version HTTP/1.1\r\nhost: s\r\n\r\n");
    until("a held request", || node.status().waiting == 1);
    drop(first);
    until("an empty queue", || node.status().waiting == 0);
    let mut second = Client::connect(node.address);
    second.say("GET /version HTTP/1.1\r\nhost: s\r\n\r\n");
    until("a held request", || node.status().waiting == 1);
    session.open().unwrap();
    assert_eq!(second.answer().text(), "1.0.0");
}

#[test]
fn bodies_of_held_requests_stay_where_they_are() {
    let node = Node::running("");
    let mut session = node.session();
    session.begin().unwrap();
    session.hold().unwrap();
    let length = 64 << 20;
    let mut client = Client::connect(node.address);
    client.say(format!("POST /count HTTP/1.1\r\nhost: s\r\ncontent-length: {length}\r\n\r\n"));
    let mut writer = client.writer();
    let upload = std::thread::spawn(move || writer.write_all(&vec![b'x'; length]).unwrap());
    until("a held request", || node.status().waiting == 1);
    let before = super::crowd::resident(node.pid());
    std::thread::sleep(5 * BEAT);
    let after = super::crowd::resident(node.pid());
    assert!(after < before + (8 << 20), "from {before} to {after} bytes");
    session.open().unwrap();
    upload.join().unwrap();
    assert_eq!(client.answer().text(), length.to_string());
}
