//! What goes through the gate comes out as it should.

use crate::client::Client;
use crate::node::{Mode, Node};

#[test]
fn requests_and_answers_pass() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);

    // Keep-alive: one connection for all of these.
    let answer = client.get("/version");
    assert_eq!((answer.status(), answer.text()), (200, "1.0.0"));
    assert_eq!(answer.field("x-cutover-version"), Some("1.0.0"));
    assert_eq!(answer.field("x-backoff"), None);
    assert_eq!(client.get("/nothing").status(), 404);
    assert_eq!(client.get("/env").text(), "token=");

    client.say("HEAD /version HTTP/1.1\r\nhost: site\r\n\r\n");
    assert!(client.head().contains("content-length: 5\r\n"));

    client.say("POST /count HTTP/1.1\r\nhost: site\r\ncontent-length: 1000000\r\n\r\n");
    client.say(vec![b'x'; 1_000_000]);
    assert_eq!(client.answer().text(), "1000000");

    // Hyper would take the body of a GET away if it were not told.
    client.say("GET /count HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\n\r\n");
    client.say("3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.answer().text(), "3");

    client.say(
        "POST /count HTTP/1.1\r\nhost: s\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.say("abc");
    assert_eq!(client.answer().text(), "3");

    let answer = client.get("/large");
    assert_eq!(answer.body.len(), 64 << 20);
    assert!(answer.body.iter().all(|byte| *byte == b'x'));

    // From HTTP/1.0, ended by the end of the connection, to chunks on one that stays.
    assert_eq!(client.get("/old").text(), "until the end");
    assert_eq!(client.get("/version").text(), "1.0.0");
}

#[test]
fn bodies_are_streamed_both_ways() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    client.say("POST /echo HTTP/1.1\r\nhost: site\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in ["first", "second"] {
        client.say(format!("{:x}\r\n{piece}\r\n", piece.len()));
        if piece == "first" {
            assert!(client.head().starts_with("HTTP/1.1 200"));
        }
        assert_eq!(client.chunk().unwrap(), piece.as_bytes());
    }
    client.say("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
}

#[test]
fn a_client_may_send_everything_before_it_reads_anything() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    for _ in 0..2 {
        client
            .say(format!("POST /both HTTP/1.1\r\nhost: s\r\ncontent-length: {}\r\n\r\n", 32 << 20));
        client.say(vec![b'x'; 32 << 20]);
        assert_eq!(client.answer().body.len(), 32 << 20);
        assert_eq!(client.get("/version").text(), "1.0.0");
    }
}

#[test]
fn a_service_may_close_what_is_idle() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    for _ in 0..3 {
        assert_eq!(client.get("/leave").status(), 200);
        assert_eq!(client.get("/version").text(), "1.0.0");
    }
}

#[test]
fn header_fields_of_one_hop_stay_there() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    client.say(
        "GET /head HTTP/1.1\r\nHost: site\r\nConnection: keep-alive, x-mine\r\nx-mine: 1\r\n\
         te: trailers\r\nx-forwarded-for: 10.0.0.1\r\nforwarded: for=9\r\nx-yours: 2\r\n\r\n",
    );
    let answer = client.answer();
    let seen = answer.text().to_ascii_lowercase();
    for there in [
        "host: site",
        "x-yours: 2",
        "forwarded: for=9",
        "x-forwarded-for: 10.0.0.1, 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: site",
    ] {
        assert!(seen.contains(&format!("\r\n{there}\r\n")), "{there} is not in {seen}");
    }
    for gone in ["x-mine", "te:", "keep-alive"] {
        assert!(!seen.contains(gone), "{gone} is in {seen}");
    }
    let answer = client.get("/hop");
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.field("x-yours"), Some("2"));
    assert_eq!((answer.field("x-mine"), answer.field("keep-alive")), (None, None));
}

#[test]
fn old_and_odd_clients() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    client.say("GET /version HTTP/1.0\r\n\r\n");
    let answer = String::from_utf8(client.rest()).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("1.0.0"), "{answer}");

    let mut client = Client::connect(node.address);
    client.say("GET http://elsewhere/head HTTP/1.1\r\nhost: site\r\n\r\n");
    let answer = client.answer();
    assert!(answer.text().starts_with("GET /head HTTP/1.1\r\n"), "{}", answer.text());
    assert!(answer.text().contains("host: elsewhere\r\n"), "{}", answer.text());

    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        ("OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n", 204),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET http://u:p@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: u@a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: x, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
    ] {
        let mut client = Client::connect(node.address);
        client.say(request);
        assert_eq!(client.answer().status(), status, "{request}");
    }
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    client.say(
        "GET /upgrade HTTP/1.1\r\nhost: s\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    let head = client.head().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"),
        "{head}"
    );
    client.say("ping");
    assert_eq!(client.exactly(4), b"ping");
    assert_eq!(node.status().in_flight, 1);
    client.half_close();
    assert_eq!(client.rest(), b"bye");
    crate::node::until("an ended tunnel", || node.status().in_flight == 0);

    let answer = Client::connect(node.address).get("/upgrade");
    assert_eq!(answer.status(), 502, "nobody asked for it");
}

#[test]
fn a_connection_does_not_become_what_nobody_knows() {
    let node = Node::running("upgrades = [\"spdy/3.1\"]");
    let mut client = Client::connect(node.address);
    for protocol in ["h2c", "websocket", "TLS/1.0"] {
        client.say(format!(
            "GET /head HTTP/1.1\r\nhost: s\r\nconnection: Upgrade, HTTP2-Settings\r\n\
             upgrade: {protocol}\r\nhttp2-settings: AAMAAABk\r\n\r\n"
        ));
        let answer = client.answer();
        let seen = answer.text().to_ascii_lowercase();
        assert_eq!(answer.status(), 200, "it goes on as HTTP/1.1");
        for gone in ["upgrade", "http2-settings", "connection"] {
            assert!(!seen.contains(gone), "{gone} is in {seen}");
        }
    }
    // The service may not become something else than what the client wanted either.
    client.say("GET /upgrade HTTP/1.1\r\nhost: s\r\nconnection: upgrade\r\n");
    client.say("upgrade: h2c, SPDY/3.1\r\n\r\n");
    assert_eq!(client.answer().status(), 502);
}

#[test]
fn an_answer_that_is_framed_twice_is_passed_on_in_one_form() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    for path in ["/framed/both", "/framed/lengths"] {
        let answer = client.get(path);
        assert_eq!((answer.status(), answer.text()), (200, "abc"), "{path}");
        let framings = ["content-length: ", "transfer-encoding: "]
            .map(|name| answer.head.to_ascii_lowercase().matches(name).count());
        assert_eq!(framings.iter().sum::<usize>(), 1, "{}", answer.head);
        assert_eq!(client.get("/version").text(), "1.0.0");
    }
    for path in ["/framed/coded", "/framed/differently", "/framed/old"] {
        assert_eq!(client.get(path).status(), 502, "{path}");
    }
    client.say("HEAD /framed/lengths HTTP/1.1\r\nhost: s\r\n\r\n");
    assert!(!client.head().contains("3, 3"));
}

#[test]
fn the_question_for_health_carries_what_it_is_told_to() {
    let mut node = Node::new(
        "[service]\nhealth = { send-headers = { host = \"site.example\", X-Node = \"1\" } }",
    );
    node.release("1.0.0", Mode::Record);
    let path = node.root.descriptor(&crate::node::version("1.0.0"));
    let mut descriptor: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    descriptor["service"]["health"]["send-headers"] =
        serde_json::json!({ "Host": "the-node-wins", "X-Release": "2" });
    std::fs::write(&path, descriptor.to_string()).unwrap();
    node.switch("1.0.0");
    node.start();
    node.wait_open();
    let record = std::fs::read_to_string(node.root.path().join("record")).unwrap();
    let head = record.split("\r\n\r\n").next().unwrap().to_ascii_lowercase() + "\r\n";
    for field in ["host: site.example", "x-node: 1", "x-release: 2", "connection: close"] {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
    }
    assert_eq!(head.matches("host:").count(), 1, "{head}");
}

#[test]
fn what_the_gate_adds_cannot_be_taken_off() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    client.say(
        "GET /head HTTP/1.1\r\nhost: site\r\nx-request-id: mine\r\nx-forwarded-for: 10.0.0.1\r\n\
         connection: X-Request-Id, X-Forwarded-For, X-Forwarded-Host, Host, X-Cutover-Version\r\n\r\n",
    );
    let answer = client.answer();
    for there in [
        "host: site",
        "x-request-id: mine",
        "x-forwarded-for: 10.0.0.1, 127.0.0.1",
        "x-forwarded-host: site",
    ] {
        assert!(answer.text().contains(&format!("\r\n{there}\r\n")), "{}", answer.text());
    }
    assert_eq!(answer.field("x-cutover-version"), Some("1.0.0"));
    assert_eq!(answer.field("x-request-id"), Some("mine"));
}

#[test]
fn a_unix_socket_is_as_good() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Unix);
    node.switch("1.0.0");
    node.start();
    node.wait_open();
    let mut client = Client::connect(node.address);
    assert_eq!(client.get("/version").text(), "1.0.0");
    assert_eq!(client.get("/large").body.len(), 64 << 20);
    let address = node.status().running.unwrap().address.unwrap();
    assert!(address.ends_with("/run/1.0.0-0.sock"), "{address}");
}

#[test]
fn a_service_that_breaks_off_is_named() {
    let node = Node::running("");
    let mut client = Client::connect(node.address);
    let answer = client.get("/break");
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(client.get("/version").text(), "1.0.0");
    let status = node.status();
    assert_eq!(status.failed, 1);
    assert_eq!(status.requests[&crate::node::version("1.0.0")], 2);
}
