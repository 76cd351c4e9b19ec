//! Starting and stopping.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Answer, SERVER, Server, names, target, wait_until};

fn start(arguments: &[&str]) -> Output {
    Command::new(SERVER).args(arguments).output().unwrap()
}

fn says(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn does_not_start() {
    let server = Server::start();
    let store = server.store();
    let store = store.to_str().unwrap();
    says(
        &start(&["--store", store, "--listen", &server.address]),
        2,
        &["cannot listen on", &server.address, "in use", "--listen"],
    );
    says(&start(&["--store", store, "--listen", "nonsense"]), 2, &["nonsense"]);
    says(&start(&["--store", "/no/such/store"]), 4, &["/no/such/store", "--store"]);
    says(&start(&["--store", store, "--tokens", "/no/tokens"]), 2, &["/no/tokens"]);
    says(&start(&["--store", store, "--max-upload", "many"]), 2, &["max-upload"]);
    says(&start(&[]), 2, &["--store"]);
}

#[test]
fn stops_when_requests_have_ended() {
    for stop in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        let contents = vec![1; 32 << 20];
        let path = target("a", "x", &contents);
        server.place(&path, &contents);
        let mut stream = TcpStream::connect(&server.address).unwrap();
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        let idle = TcpStream::connect(&server.address).unwrap();
        kill_process(Pid::from_child(server.child()), stop).unwrap();
        wait_until("no new connections", || TcpStream::connect(&server.address).is_err());
        // Read to the end; the server closes the connection then.
        let answer = {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert!(answer.len() > contents.len() && answer.ends_with(&contents));
        assert_eq!(server.child().wait().unwrap().code(), Some(0), "{}", server.log());
        drop(idle);
    }
}

#[test]
fn cleans_up_and_warns() {
    let server = Server::start();
    server.place(".incoming/upload-dead", b"half");
    let store = server.store();
    let again = server.restarted();
    assert!(names(&store.join(".incoming")).is_empty());
    again.logs("half-done");
    again.logs("read by others");
}

#[test]
fn quiet_means_quiet() {
    let mut server = Server::start_by(|command| command.arg("--quiet"));
    server.get("/", &[]);
    let log = server.whole_log();
    assert!(!log.contains("GET"), "{log}");
    let server = Server::start();
    server.get("/x%0ay", &[]);
    server.logs("GET \"/x%0ay\"");
}

#[test]
fn odd_requests_do_no_harm() {
    let server = Server::start();
    for odd in ["\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(odd.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
    }
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let header = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    stream.write_all(header.as_bytes()).unwrap();
    let status = Answer::read(&mut stream).status;
    assert!([200, 431].contains(&status), "{status}");
    assert_eq!(server.get("/healthz", &[]).status, 200);
}
