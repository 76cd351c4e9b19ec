//! Files of releases that the gate serves by itself.

use std::fs;
use std::os::unix::fs::symlink;

use crate::client::Client;
use crate::node::{Mode, Node, version};
use cutover_formats::digest::Digest;

const STYLE: &[u8] = b"body { color: black }";

fn node() -> Node {
    let mut node = Node::new("");
    let large = vec![b'x'; 3_000_000];
    let files: [(&str, &[u8]); 4] =
        [("a.css", STYLE), ("b c\u{e9}.png", b"png"), ("empty.js", b""), ("large.bin", &large)];
    node.release_with_assets("1.0.0", &files);
    node.switch("1.0.0");
    node.start();
    node.wait_open();
    node
}

#[test]
fn assets_are_served_with_what_caches_need() {
    let node = node();
    let mut client = Client::connect(node.address);
    let answer = client.get("/assets/1.0.0/a.css");
    assert_eq!((answer.status(), &answer.body[..]), (200, STYLE));
    let tag = format!("\"{}\"", Digest::of(STYLE));
    for (field, value) in [
        ("content-type", "text/css; charset=utf-8"),
        ("etag", &tag),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("x-cutover-version", "1.0.0"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(answer.field(field), Some(value), "{field}");
    }
    assert!(answer.field("x-request-id").is_some());
    assert_eq!(client.get("/assets/1.0.0/b%20c%C3%A9.png?x=1").body, b"png");
    assert_eq!(client.get("/assets/1.0.0/empty.js").body, b"");
    let large = client.get("/assets/1.0.0/large.bin");
    assert!(large.body.len() == 3_000_000 && large.body.iter().all(|byte| *byte == b'x'));

    let mut ask = |method: &str, fields: &str| {
        client.say(format!("{method} /assets/1.0.0/a.css HTTP/1.1\r\nhost: s\r\n{fields}\r\n"));
        let head = client.head();
        let length = crate::client::Answer { head: head.clone(), body: Vec::new() }
            .field("content-length")
            .map_or(0, |length| length.parse::<usize>().unwrap());
        let bare = method == "HEAD" || head.contains(" 304 ");
        (head, if bare { Vec::new() } else { client.exactly(length) })
    };
    let (head, _) = ask("HEAD", "");
    assert!(head.contains(" 200 ") && head.contains("content-length: 21\r\n"), "{head}");
    let (head, _) = ask("GET", &format!("if-none-match: {tag}\r\n"));
    assert!(head.contains(" 304 ") && head.contains(&tag), "{head}");
    let (head, body) = ask("GET", "range: bytes=5-9\r\n");
    assert!(head.contains(" 206 ") && head.contains("content-range: bytes 5-9/21\r\n"), "{head}");
    assert_eq!(body, &STYLE[5..10]);
    let (head, _) = ask("GET", "range: bytes=21-\r\n");
    assert!(head.contains(" 416 ") && head.contains("content-range: bytes */21\r\n"), "{head}");
    let (head, _) = ask("DELETE", "");
    assert!(head.contains(" 405 ") && head.contains("allow: GET, HEAD\r\n"), "{head}");
}

#[test]
fn only_what_the_file_list_has_is_served() {
    let node = node();
    let prefix = node.root.prefix(&version("1.0.0"));
    fs::write(prefix.join("secret"), "secret").unwrap();
    fs::write(prefix.join("static/later.txt"), "later").unwrap();
    let mut client = Client::connect(node.address);
    for path in [
        "",
        "nothing.css",
        "later.txt",
        "link.txt",
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "a.css/",
        "/a.css",
        "./a.css",
        "a.css%00",
    ] {
        let answer = client.get(&format!("/assets/1.0.0/{path}"));
        assert_eq!(answer.status(), 404, "{path}");
        assert!(answer.text().contains("no such file in that release"), "{path}: the gate's own");
    }
    for path in ["/assets/", "/assets/1.0.1/a.css", "/assets/1.0.0"] {
        assert_eq!(client.get(path).text(), "?", "{path} is the service's");
    }

    // What changed on the disk against the list is not served.
    fs::remove_file(prefix.join("static/a.css")).unwrap();
    symlink("/etc/hostname", prefix.join("static/a.css")).unwrap();
    assert_eq!(client.get("/assets/1.0.0/a.css").status(), 500);
    fs::write(prefix.join("static/large.bin"), "short").unwrap();
    assert_eq!(client.get("/assets/1.0.0/large.bin").status(), 500);
    fs::remove_file(prefix.join("static/large.bin")).unwrap();
    assert_eq!(client.get("/assets/1.0.0/large.bin").status(), 404);
}

#[test]
fn old_and_new_lie_side_by_side_whatever_the_gate_does() {
    let node = node();
    let mut client = Client::connect(node.address);
    assert_eq!(client.get("/assets/1.1.0/a.css").text(), "?");
    node.release_with_assets("1.1.0", &[("a.css", b"new")]);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    node.switch("1.1.0");
    session.promote().unwrap();
    let mut both = |when: &str| {
        assert_eq!(client.get("/assets/1.0.0/a.css").body, STYLE, "{when}");
        assert_eq!(client.get("/assets/1.1.0/a.css").body, b"new", "{when}");
    };
    both("old pages and new ones");
    session.retire().unwrap();
    session.hold().unwrap();
    both("hold");
    session.backoff().unwrap();
    both("backoff");
    session.open().unwrap();
    session.finish().unwrap();
    node.session().maintenance_on(None, None).unwrap();
    both("maintenance");

    // A release that is pruned, then installed again, has another folder.
    node.session().maintenance_off().unwrap();
    fs::remove_dir_all(node.root.prefix(&version("1.0.0"))).unwrap();
    assert_eq!(client.get("/assets/1.0.0/a.css").status(), 404);
    node.release_with_assets("1.0.0", &[("a.css", STYLE)]);
    node.release("1.2.0", Mode::Good);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.2.0")).unwrap();
    session.wait_healthy().unwrap();
    assert_eq!(client.get("/assets/1.0.0/a.css").body, STYLE);
}
