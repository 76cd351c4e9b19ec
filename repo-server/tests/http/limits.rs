//! What one client may have of the server, and how fast it has to be.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::common::{Answer, SERVER, Server, TOKEN, names, target, wait_until};

/// A connection from this address of the machine's own.
fn connect_from(address: [u8; 4], server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::from(address), 0).into()).unwrap();
    socket.connect(&server.address.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.into()
}

/// Asks on a connection that stays open, and reads the answer's head.
fn asks(stream: &mut TcpStream) -> String {
    // One that is turned away may be closed already.
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"ok\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_client_has_its_share_of_connections() {
    let server = Server::start_by(|command| {
        command.args(["--max-connections", "16", "--max-connections-per-client", "3"])
    });
    let mut held: Vec<_> = (0..3).map(|_| connect_from([127, 0, 0, 2], &server)).collect();
    for stream in &mut held {
        assert!(asks(stream).starts_with("HTTP/1.1 200"));
    }
    let answer = Answer::read(&mut connect_from([127, 0, 0, 2], &server));
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert!(answer.text().contains("all the connections"), "{answer:?}");
    assert_eq!(server.get("/healthz", &[]).status, 200, "others have theirs");
    assert_eq!(server.metric("cutover_http_refused_total{why=\"connections\"}"), Some(1));
    drop(held);
    wait_until("its connections are free again", || {
        asks(&mut connect_from([127, 0, 0, 2], &server)).starts_with("HTTP/1.1 200")
    });
}

/// Without an option a client has an eighth: seven others find a place.
#[test]
fn one_client_never_has_all_connections() {
    let server = Server::start_by(|command| command.args(["--max-connections", "16"]));
    let mut held: Vec<_> = (0..2).map(|_| connect_from([127, 0, 0, 2], &server)).collect();
    held.iter_mut().for_each(|stream| assert!(asks(stream).starts_with("HTTP/1.1 200")));
    assert_eq!(Answer::read(&mut connect_from([127, 0, 0, 2], &server)).status, 429);
    assert_eq!(server.get("/healthz", &[]).status, 200);
}

#[test]
fn behind_a_proxy_the_address_that_it_names_counts() {
    let server = Server::start_by(|command| {
        command.args(["--behind", "127.0.0.1", "--max-connections-per-client", "1"])
    });
    let contents = vec![1; 32 << 20];
    let path = format!("/{}", target("a", "x", &contents));
    server.place(&path[1..], &contents);
    let one = ["X-Forwarded-For: 198.51.100.1, 192.0.2.1"];
    let mut under_way = server.send("GET", &path, &one, b"");
    under_way.read_exact(&mut [0; 1]).unwrap();
    let refused = server.get("/healthz", &["X-Forwarded-For: 192.0.2.1"]);
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!(server.metric("cutover_http_refused_total{why=\"requests\"}"), Some(1));
    for other in ["X-Forwarded-For: 192.0.2.1, 192.0.2.2", "X-Forwarded-For: 198.51.100.1", "X: y"]
    {
        assert_eq!(server.get("/healthz", &[other]).status, 200, "{other}");
    }
    // Who is no proxy says nothing about others: it has one connection, whatever it claims.
    let mut held = connect_from([127, 0, 0, 2], &server);
    assert!(asks(&mut held).starts_with("HTTP/1.1 200"));
    assert_eq!(Answer::read(&mut connect_from([127, 0, 0, 2], &server)).status, 429);
    drop(under_way);
    wait_until("its request has ended", || server.get("/healthz", &one).status == 200);
}

fn begin_upload(server: &Server, token: &str, path: &str, begin: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(
        stream,
        "PUT /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         If-None-Match: *\r\nContent-Length: 6\r\n\r\n"
    )
    .unwrap();
    stream.write_all(begin).unwrap();
    stream
}

/// Whoever fills the places of one token keeps nobody else from publishing.
#[test]
fn each_token_has_its_places_for_uploads() {
    let server = Server::start_by(|command| {
        let tokens = command.get_args().skip_while(|word| *word != "--tokens").nth(1).unwrap();
        std::fs::write(tokens, format!("eve eve-token\nci {TOKEN}\n")).unwrap();
        command.args(["--max-uploads", "2", "--max-uploads-per-token", "1"])
    });
    let slow = target("a", "slow", b"slowly");
    let mut first = begin_upload(&server, "eve-token", &slow, b"slow");
    wait_until("it is under way", || names(&server.store().join(".incoming")).len() == 1);
    let waits = target("a", "waits", b"slowly");
    let mut second = begin_upload(&server, "eve-token", &waits, b"slowly");
    let path = format!("/{}", target("a", "x", b"x"));
    assert_eq!(server.put(&path, "If-None-Match: *", b"x").status, 201);
    first.write_all(b"ly").unwrap();
    assert_eq!(Answer::read(&mut first).status, 201);
    assert_eq!(Answer::read(&mut second).status, 201, "it only had to wait");
}

#[test]
fn an_upload_that_hardly_comes_is_ended() {
    let server = Server::start_by(|command| command.args(["--stall", "1", "--min-rate", "1MiB"]));
    let path = target("a", "x", b"slowly");
    let mut stream = begin_upload(&server, TOKEN, &path, b"s");
    let answer = Answer::read(&mut stream);
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(answer.text().contains("1048576 bytes a second; nothing was stored"), "{answer:?}");
    assert_eq!(server.metric("cutover_http_dropped_total{why=\"uploading\"}"), Some(1));
    wait_until("nothing is left", || names(&server.store().join(".incoming")).is_empty());
}

#[test]
fn who_takes_next_to_nothing_is_dropped() {
    let server = Server::start_by(|command| command.args(["--stall", "1", "--min-rate", "1MiB"]));
    let contents = vec![1; 64 << 20];
    let path = format!("/{}", target("a", "x", &contents));
    server.place(&path[1..], &contents);
    let mut stream = server.send("GET", &path, &[], b"");
    let dropped = "cutover_http_dropped_total{why=\"reading\"}";
    // A byte now and then does not help.
    wait_until("it is dropped", || {
        let _ = stream.read(&mut [0; 1]);
        server.metric(dropped) == Some(1)
    });
    // The one that asks stays.
    wait_until("it is closed", || server.metric("cutover_http_connections") == Some(1));
}

/// A file is compressed once, whoever holds its answer, and no more than so much memory is taken.
#[test]
fn coded_answers_are_made_once_and_bounded() {
    let json = format!("{{\"a\":\"{}\"}}", "0123456789".repeat(200_000));
    let zstd = ["Accept-Encoding: zstd"];
    let server = Server::start();
    server.place("metadata/1.root.json", json.as_bytes());
    let held: Vec<_> =
        (0..20).map(|_| server.send("GET", "/metadata/1.root.json", &zstd, b"")).collect();
    let answer = server.get("/metadata/1.root.json", &zstd);
    assert_eq!(answer.header("content-encoding"), "zstd");
    assert_eq!(zstd::bulk::decompress(&answer.body, json.len()).unwrap(), json.as_bytes());
    for mut stream in held {
        assert_eq!(Answer::read(&mut stream).body, answer.body);
    }
    assert_eq!(server.metric("cutover_coded_total"), Some(1));
    assert_eq!(server.metric("cutover_coded_bytes"), Some(answer.body.len() as i64));
    let server = Server::start_by(|command| command.args(["--coded-memory", "1MiB"]));
    server.place("metadata/1.root.json", json.as_bytes());
    let answer = server.get("/metadata/1.root.json", &zstd);
    assert_eq!((answer.header("content-encoding"), answer.body.len()), ("", json.len()));
    assert_eq!(server.metric("cutover_coded_bypassed_total"), Some(1));
    assert_eq!(server.metric("cutover_coded_bytes"), Some(0));
}

/// Who may read the repository may not read what the server counts.
#[test]
fn metrics_have_an_address_of_their_own() {
    let server = Server::start();
    assert_eq!(server.get("/metrics", &[]).status, 404);
    assert_eq!(server.metrics().status, 200);
    let taken = Command::new(SERVER)
        .arg("--store")
        .arg(server.store())
        .args(["--listen", "127.0.0.1:0", "--metrics", &server.address])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&taken.stderr);
    assert_eq!(taken.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("another port with --metrics"), "{stderr}");
}
