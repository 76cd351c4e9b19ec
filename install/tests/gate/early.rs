//! Answers that come before the request has been read, and connections that end before an answer.

use std::io::Write as _;

use crate::client::Client;
use crate::node::{Mode, Node, until};

const BODY: usize = 20_000_000;

/// Sends the head and then as much of a body as is taken, from another thread.
fn upload(client: &mut Client, path: &str) -> std::thread::JoinHandle<()> {
    client.say(format!("PUT {path} HTTP/1.1\r\nhost: s\r\ncontent-length: {BODY}\r\n\r\n"));
    let mut writer = client.writer();
    std::thread::spawn(move || writer.write_all(&vec![b'x'; BODY]).unwrap())
}

fn a_service_that_answers_early_is_heard(mode: Mode) {
    let node = Node::running_one("", mode);
    for _ in 0..20 {
        let mut client = Client::connect(node.address);
        let writing = upload(&mut client, "/early");
        // All of it is taken, so that even a client that reads last reads the answer.
        writing.join().unwrap();
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text()), (401, "no\n"));
        assert_eq!(answer.field("x-cutover-version"), Some("1.0.0"));
        assert_eq!(client.get("/version").text(), "1.0.0", "on the same connection");
    }
    assert_eq!(node.status().failed, 0);
    until("nothing in flight", || node.status().in_flight == 0);
}

#[test]
fn a_service_on_a_port_that_answers_early_is_heard() {
    a_service_that_answers_early_is_heard(Mode::Good);
}

#[test]
fn a_service_on_a_socket_that_answers_early_is_heard() {
    a_service_that_answers_early_is_heard(Mode::Unix);
}

#[test]
fn the_gates_own_answer_to_an_upload_is_heard() {
    let node = Node::running("");
    node.session().maintenance_on(None, None).unwrap();
    let mut client = Client::connect(node.address);
    for path in ["/count", "/.cutover/alive"] {
        let writing = upload(&mut client, path);
        writing.join().unwrap();
        let answer = client.answer();
        assert_eq!(answer.status(), if path == "/count" { 503 } else { 405 });
        assert_eq!(answer.field("connection"), None);
    }
    // Refused for good: what is sent after that is thrown away, until the client has read the answer.
    client.say("PUT / HTTP/1.1\r\nhost: s\r\ncontent-length: 1, 2\r\n\r\n");
    client.say(vec![b'x'; BODY]);
    assert_eq!(client.answer().status(), 400);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_body_that_was_not_asked_for_is_not_waited_for() {
    let node = Node::running("");
    node.session().maintenance_on(None, None).unwrap();
    let mut client = Client::connect(node.address);
    let expect = "expect: 100-continue\r\ncontent-length: 3";
    client.say(format!("POST /count HTTP/1.1\r\nhost: s\r\n{expect}\r\n\r\n"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("connection")), (503, Some("close")));
    assert_eq!(client.rest(), b"");
}

#[test]
fn what_only_reads_is_sent_once_more_when_a_used_connection_ends() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    assert_eq!(client.get("/fickle").text(), "1");
    // The second is lost with its connection, and the third is the second once more.
    assert_eq!(client.get("/fickle").text(), "3");
    client.say("POST /fickle HTTP/1.1\r\nhost: s\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.answer().status(), 502, "it may have been acted on");
    assert_eq!(client.get("/fickle").text(), "5");
    // Once more, and not again: the other connection is new.
    assert_eq!(client.get("/break").status(), 502);
    client.say("GET /fickle HTTP/1.1\r\nhost: s\r\ncontent-length: 1\r\n\r\nx");
    assert_eq!(client.answer().text(), "6");
    client.say("GET /fickle HTTP/1.1\r\nhost: s\r\ncontent-length: 1\r\n\r\nx");
    assert_eq!(client.answer().status(), 502, "it has a body");
}
