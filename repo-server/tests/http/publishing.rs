//! Creating, replacing, refusing.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Barrier;

use cutover_formats::digest::Digest;

use crate::common::{Answer, Made, Server, TOKEN, names, target, wait_until};

const NEW: &str = "If-None-Match: *";

/// Metadata of a role that nobody has signed.
fn role(version: u32, by: u32) -> Vec<u8> {
    format!("{{\"signed\":{{\"version\":{version},\"by\":{by}}},\"signatures\":[]}}").into_bytes()
}

fn replacing(old: &[u8]) -> String {
    format!("If-Match: \"{}\"", Digest::of(old))
}

#[test]
fn creates_once() {
    let server = Server::start();
    let contents = vec![7; 3 << 20];
    let path = format!("/{}", target("releases/w/1.0.0+x", "bundle", &contents));
    assert_eq!(server.put(&path, NEW, &contents).status, 201);
    assert_eq!(server.get(&path, &[]).body, contents);
    let again = server.put(&path, NEW, &contents);
    assert_eq!(again.status, 412);
    assert!(again.text().contains("left as it is"));
    assert_eq!(server.put("/metadata/1.targets.json", NEW, &role(1, 0)).status, 201);
    assert_eq!(server.put("/metadata/1.targets.json", NEW, &role(2, 0)).status, 412);
    assert_eq!(server.get("/metadata/1.targets.json", &[]).body, role(1, 0));
    assert!(names(&server.store().join(".incoming")).is_empty());
}

/// Its name begins with the digest of what it signs, so it is its form that is looked at.
#[test]
fn a_signature_for_minisign_stands_beside_its_file() {
    let server = Server::start();
    let path = format!("/{}.minisig", target("releases/w/1.0.0", "w-1.0.0.tar.zst", b"a bundle"));
    let (packed, global) = ("A".repeat(98) + "A=", "A".repeat(86) + "==");
    let good = format!("untrusted comment: x\n{packed}\ntrusted comment: y\n{global}\n");
    assert_eq!(server.put(&path, NEW, b"anything else").status, 400);
    assert_eq!(server.put(&path, NEW, &[b'x'; 5000]).status, 413);
    assert_eq!(server.put(&path, NEW, good.as_bytes()).status, 201);
    assert_eq!(server.put(&path, NEW, good.as_bytes()).status, 412);
    let answer = server.get(&path, &[]);
    assert_eq!(answer.body, good.as_bytes());
    let etag = format!("\"{}\"", Digest::of(good.as_bytes()));
    assert_eq!(answer.header("etag"), etag);
}

#[test]
fn one_of_sixteen_creates() {
    let server = Server::start();
    let barrier = Barrier::new(16);
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|by| {
                let (server, barrier) = (&server, &barrier);
                scope.spawn(move || {
                    let body = role(1, by);
                    barrier.wait();
                    (server.put("/metadata/9.targets.json", NEW, &body).status, body)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<_> = statuses.iter().filter(|(status, _)| *status == 201).collect();
    assert_eq!(winners.len(), 1);
    assert!(statuses.iter().all(|(status, _)| [201, 412].contains(status)), "{statuses:?}");
    assert_eq!(server.get("/metadata/9.targets.json", &[]).body, winners[0].1);
}

#[test]
fn the_timestamp_is_swapped() {
    let (server, made) = (Server::start(), Made::new(2, 0));
    made.give(&server);
    let path = "/metadata/timestamp.json";
    let [one, two, three] = [0, 1, 2].map(|at| made.timestamps[at].as_slice());
    assert_eq!(server.put(path, &replacing(one), two).status, 412, "nothing to replace");
    assert_eq!(server.put(path, NEW, one).status, 201);
    assert_eq!(server.put(path, NEW, two).status, 412);
    assert_eq!(server.put(path, &replacing(two), two).status, 412);
    let stale = server.put(path, &replacing(one), one);
    assert_eq!((stale.status, stale.text().contains("must rise")), (409, true));
    assert_eq!(server.get(path, &[]).body, one);
    assert_eq!(server.put(path, &replacing(one), two).status, 204);
    assert_eq!(server.put(path, &replacing(two), one).status, 409);
    let barrier = Barrier::new(8);
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (server, barrier, old) = (&server, &barrier, replacing(two));
                scope.spawn(move || {
                    barrier.wait();
                    server.put(path, &old, three).status
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(done.iter().filter(|status| **status == 204).count(), 1, "{done:?}");
    assert_eq!(server.get(path, &[]).body, three);
}

#[test]
fn refusals() {
    let mut server = Server::start_by(|command| command.args(["--max-upload", "1MiB"]));
    let path = format!("/{}", target("a", "x", b"right"));
    let token = format!("Authorization: Bearer {TOKEN}");
    let other = |status: u16, answer: Answer, words: &str| {
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text().contains(words), "{answer:?}");
    };
    other(422, server.put(&path, NEW, b"wrong"), &Digest::of(b"wrong").to_string());
    other(401, server.ask("PUT", &path, &[NEW], b"right"), "bearer token");
    let wrong = ["Authorization: Bearer guess", NEW];
    other(401, server.ask("PUT", &path, &wrong, b"right"), "does not know");
    let basic = [&*format!("Authorization: Basic {TOKEN}"), NEW];
    other(401, server.ask("PUT", &path, &basic, b"right"), "does not know");
    other(428, server.ask("PUT", &path, &[&token], b"right"), "If-None-Match");
    other(400, server.put(&path, "If-None-Match: \"x\"", b"right"), "only *");
    other(400, server.put(&path, &replacing(b"x"), b"right"), "only timestamp.json");
    other(400, server.put("/metadata/timestamp.json", "If-Match: x", b"{}"), "quoted sha256");
    other(400, server.put("/metadata/1.root.json", NEW, b"<html>"), "no metadata");
    other(400, server.put("/metadata/1.root.json", NEW, b"{}"), "no metadata");
    other(404, server.put("/targets/a/x", NEW, b"right"), "other paths");
    other(404, server.put("/metadata/root.json", NEW, b"{}"), "other paths");
    let large = vec![0; (1 << 20) + 1];
    let path = format!("/{}", target("a", "large", &large));
    other(413, server.put(&path, NEW, &large), "1048576");
    // The same without a length before it.
    let chunked = [&*token, NEW, "Transfer-Encoding: chunked"];
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n\r\n",
        chunked.join("\r\n")
    )
    .unwrap();
    write!(stream, "{:x}\r\n", large.len()).unwrap();
    stream.write_all(&large).unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").unwrap();
    other(413, Answer::read(&mut stream), "1048576");
    assert!(names(&server.store().join("targets")).is_empty());
    assert!(names(&server.store().join(".incoming")).is_empty());
    let log = server.whole_log();
    assert!(!log.contains(TOKEN) && !log.contains("guess"));
}

/// A link in the store leads nobody out of it: not who reads, not who publishes.
#[test]
fn links_are_not_followed() {
    let server = Server::start();
    let outside = server.store().join("../outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::create_dir(server.store().join("targets")).unwrap();
    std::os::unix::fs::symlink("../../outside", server.store().join("targets/link")).unwrap();
    let path = format!("/{}", target("link", "x", b"x"));
    let answer = server.put(&path, NEW, b"x");
    assert_eq!(answer.status, 500, "{answer:?}");
    server.logs("symbolic link");
    let deeper = format!("/{}", target("link/a/b", "x", b"x"));
    assert_eq!(server.put(&deeper, NEW, b"x").status, 500);
    assert!(names(&outside).is_empty());
    std::fs::write(outside.join("secret"), "secret").unwrap();
    assert_eq!(server.get("/targets/link/secret", &[]).status, 404);
}

#[test]
fn publishing_is_off_without_tokens() {
    let server = Server::start_with(&[]);
    let answer = server.put(&format!("/{}", target("a", "x", b"x")), NEW, b"x");
    assert_eq!((answer.status, answer.text().contains("--tokens")), (403, true));
}

#[test]
fn a_broken_upload_leaves_nothing() {
    let server = Server::start();
    let path = target("a", "x", b"never");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(
        stream,
        "PUT /{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{NEW}\r\nContent-Length: 9\r\n\r\nnev"
    )
    .unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    let again = server.put(&format!("/{path}"), NEW, b"never");
    assert_eq!(again.status, 201);
    wait_until("nothing is left", || names(&server.store().join(".incoming")).is_empty());
}

#[test]
fn full_disk() {
    assert!(rustix::process::geteuid().is_root(), "mounting a small disk needs root");
    let server = Server::start_by(|command| {
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let script = "mount -t tmpfs -o size=128k tmpfs \"$2\" && exec \"$0\" \"$@\"";
        *command = std::process::Command::new("unshare");
        command.args(["-m", "sh", "-c", script, crate::common::SERVER]).args(arguments)
    });
    let large = vec![1; 1 << 20];
    let path = format!("/{}", target("a", "x", &large));
    let answer = server.put(&path, NEW, &large);
    assert_eq!((answer.status, answer.text().contains("full")), (507, true), "{answer:?}");
    assert_eq!(server.get(&path, &[]).status, 404);
    let small = format!("/{}", target("a", "x", b"small"));
    assert_eq!(server.put(&small, NEW, b"small").status, 201, "what was half-written is gone");
}
