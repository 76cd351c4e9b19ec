//! Requests that two readers could read in two ways. What reaches the service is recorded byte by
//! byte: it is one plain request, or nothing.

use std::fs;

use crate::client::Client;
use crate::node::{Mode, Node};

/// A second request, hidden in what a careless reader takes for the first one's body or end.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: s\r\n\r\n";

/// The last request on a connection.
const LAST: &str = "GET /.cutover/alive HTTP/1.1\r\nhost: s\r\nconnection: close\r\n\r\n";

/// What became of bytes that were sent: the statuses that came back, what the service got.
struct Outcome {
    statuses: Vec<u16>,
    recorded: String,
}

fn send(node: &Node, bytes: &[u8]) -> Outcome {
    let record = node.root.path().join("record");
    fs::write(&record, "").unwrap();
    let mut client = Client::connect(node.address);
    client.say(bytes);
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    let statuses =
        rest.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect();
    Outcome { statuses, recorded: fs::read_to_string(&record).unwrap() }
}

/// Every head that the service got is framed in exactly one way, and nothing hidden is a request.
fn assert_plain(name: &str, recorded: &str) {
    for head in recorded.split("\r\n\r\n").filter(|head| head.contains(" HTTP/1.1\r\n")) {
        let fields: Vec<String> = head.lines().skip(1).map(str::to_ascii_lowercase).collect();
        let values = |field: &str| -> Vec<&str> {
            fields.iter().filter_map(|line| line.strip_prefix(field)).map(str::trim).collect()
        };
        let (lengths, codings) = (values("content-length:"), values("transfer-encoding:"));
        assert!(lengths.len() + codings.len() <= 1, "{name}: two framings in {head}");
        assert!(lengths.iter().all(|length| length.bytes().all(|byte| byte.is_ascii_digit())));
        assert!(codings.iter().all(|coding| *coding == "chunked"), "{name}: {head}");
        assert_eq!(values("host:").len(), 1, "{name}: {head}");
        for line in &fields {
            assert!(!line.starts_with([' ', '\t']) && !line.contains(" :"), "{name}: {head}");
        }
    }
    assert!(!recorded.replace("\r\n", "").contains(['\r', '\n']), "{name}: bare line ends");
}

fn recording() -> Node {
    let mut node = Node::new("patience = \"20s\"");
    node.release("1.0.0", Mode::Record);
    node.switch("1.0.0");
    node.start();
    node.wait_open();
    node
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let node = recording();
    let post =
        |fields: &str, body: &str| format!("POST /take HTTP/1.1\r\nhost: s\r\n{fields}\r\n{body}");
    let chunked = "transfer-encoding: chunked\r\n";
    let length = HIDDEN.len();
    let cases = [
        ("two lengths", post("content-length: 3\r\ncontent-length: 5\r\n", "abc"), 400),
        ("lengths in a row", post("content-length: 3, 5\r\n", "abc"), 400),
        ("a signed length", post("content-length: +3\r\n", "abc"), 400),
        ("a negative length", post("content-length: -1\r\n", ""), 400),
        ("a length in hex", post("content-length: 0x3\r\n", "abc"), 400),
        ("a length too long", post("content-length: 99999999999999999999\r\n", ""), 400),
        ("an empty length", post("content-length: \r\n", ""), 400),
        ("another coding", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"), 400),
        ("chunked, then not", post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"), 400),
        ("chunked in two fields", post(&chunked.repeat(2), "0\r\n\r\n"), 501),
        ("chunked twice", post("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501),
        (
            "another coding, with a length",
            post(&format!("transfer-encoding: xchunked\r\ncontent-length: {length}\r\n"), HIDDEN),
            400,
        ),
        ("a coding with a tab in it", post("transfer-encoding: \x0bchunked\r\n", HIDDEN), 400),
        ("a space before the colon", post("transfer-encoding : chunked\r\n", "0\r\n\r\n"), 400),
        ("a space before a length's colon", post("content-length : 3\r\n", "abc"), 400),
        ("a folded line", post("x-a: b\r\n c: d\r\n", ""), 400),
        ("a folded coding", post("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400),
        ("a line without a colon", post("nonsense\r\n", ""), 400),
        ("a field without a name", post(": 1\r\n", ""), 400),
        ("a zero in a value", post("x-a: a\0b\r\n", ""), 400),
        ("a bare CR in a value", post("x-a: a\rtransfer-encoding: chunked\r\n", ""), 400),
        ("a space before the first field", "GET / HTTP/1.1\r\n host: s\r\n\r\n".to_owned(), 400),
        ("two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(), 400),
        ("chunks from HTTP/1.0", format!("POST / HTTP/1.0\r\n{chunked}\r\n0\r\n\r\n"), 400),
        ("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0),
        ("another protocol", "GET / HTTP/1.2\r\nhost: s\r\n\r\n".to_owned(), 400),
        ("a space in the target", "GET /a b HTTP/1.1\r\nhost: s\r\n\r\n".to_owned(), 400),
        ("a control character in the target", "GET /a\x01 HTTP/1.1\r\nhost: s\r\n\r\n".into(), 400),
    ];
    for (name, bytes, status) in cases {
        let outcome = send(&node, bytes.as_bytes());
        // Where there is no HTTP/1 at all, there is no answer.
        let answers: &[u16] = if status == 0 { &[] } else { &[status] };
        assert_eq!(outcome.statuses, answers, "{name}");
        assert_eq!(outcome.recorded, "", "{name}");
    }
}

#[test]
fn what_may_be_sent_is_passed_on_in_one_form() {
    let node = recording();
    let post = |fields: &str, body: &str| {
        format!("POST /take HTTP/1.1\r\nhost: s\r\n{fields}\r\n{body}{LAST}")
    };
    let chunked = "transfer-encoding: chunked\r\n";
    let length = format!("content-length: {}\r\n", HIDDEN.len());
    let both = |fields: [&str; 2]| post(&fields.concat(), "3\r\nabc\r\n0\r\n\r\n");
    // What is framed twice is read by its chunks, and the connection is not trusted any further.
    for (name, bytes, answers) in [
        ("a length and chunks", both([&length, chunked]), 1),
        ("chunks and a length", both([chunked, &length]), 1),
        ("the same length twice", post(&"content-length: 3\r\n".repeat(2), "abc"), 2),
        ("bare line feeds", post("content-length: 3\r\n", "abc").replace("\r\n", "\n"), 2),
        ("capitals", post(&chunked.to_uppercase(), "3\r\nabc\r\n0\r\n\r\n"), 2),
        ("chunks with extensions", post(chunked, "3;a=b\r\nabc\r\n0\r\n\r\n"), 2),
        ("trailers", post(chunked, "3\r\nabc\r\n0\r\ncontent-length: 9\r\nhost: b\r\n\r\n"), 2),
        (
            "a length nominated",
            post("connection: content-length\r\ncontent-length: 3\r\n", "abc"),
            2,
        ),
        ("underscores", post("content_length: 9\r\ncontent-length: 3\r\n", "abc"), 2),
        ("a body that looks like a request", post(&length, HIDDEN), 2),
        ("two requests in a row", post("content-length: 3\r\n", &format!("abc{HIDDEN}")), 3),
    ] {
        let outcome = send(&node, bytes.as_bytes());
        assert_eq!(outcome.statuses, vec![200; answers], "{name}");
        assert_plain(name, &outcome.recorded);
        let takes = outcome.recorded.matches("POST /take HTTP/1.1\r\n").count();
        let hidden = outcome.recorded.matches("GET /hidden HTTP/1.1\r\n").count();
        let meant = usize::from(name.contains("request"));
        assert_eq!((takes, hidden), (1, meant), "{name}:\n{}", outcome.recorded);
        assert!(!outcome.recorded.contains("content_length"), "{name}");
        assert!(!outcome.recorded.contains("host: b"), "{name}:\n{}", outcome.recorded);
    }
}

#[test]
fn broken_chunks_end_the_request_and_the_connection() {
    let node = recording();
    for (name, chunks) in [
        ("no size", "\r\nabc\r\n0\r\n\r\n"),
        ("a size that is none", "xyz\r\nabc\r\n0\r\n\r\n"),
        ("a size with a prefix", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a negative size", "-3\r\nabc\r\n0\r\n\r\n"),
        ("a size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a size too large", "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n"),
        ("a size that is too small", "2\r\nabc\r\n0\r\n\r\n"),
        ("a bare line feed after the size", "3\nabc\r\n0\r\n\r\n"),
        ("no line end after the chunk", "3\r\nabc0\r\n\r\n"),
        ("an end in the middle", "5\r\nabc"),
    ] {
        let request = "POST /take HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\n\r\n";
        let outcome = send(&node, format!("{request}{chunks}{HIDDEN}").as_bytes());
        assert!(outcome.statuses.len() <= 1, "{name}: {:?}", outcome.statuses);
        assert!(
            outcome.statuses.iter().all(|status| *status == 400),
            "{name}: {:?}",
            outcome.statuses
        );
        assert!(!outcome.recorded.contains("/hidden"), "{name}:\n{}", outcome.recorded);
        // The service sees a body that breaks off, never one that ends.
        assert!(!outcome.recorded.contains("\r\n0\r\n\r\n"), "{name}:\n{}", outcome.recorded);
    }
    assert_eq!(node.status().failed, 0, "it is not the service's fault");
    assert_eq!(Client::connect(node.address).get("/version").status(), 200);
}
