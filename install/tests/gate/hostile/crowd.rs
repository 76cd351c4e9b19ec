//! Ten thousand connections that ask for nothing.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::node::{Node, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CROWD: usize = 10_000;

/// Bytes of memory that a process has.
pub(super) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The gate, which is started later, inherits it.
fn raise_file_limit() {
    let wanted = 2 * CROWD as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .expect("this test needs 20,000 open files: ulimit -Hn 20000");
}

/// Times of `count` requests, the longest last.
fn times(address: SocketAddr, count: usize) -> Vec<Duration> {
    let mut client = Client::connect(address);
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(client.get("/version").status(), 200);
            asked.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn ten_thousand_that_are_idle_do_not_disturb_the_others() {
    raise_file_limit();
    let node = Node::running("max-per-client = 12000\npatience = \"10m\"");
    let alone = times(node.address, 1000);
    let before = resident(node.pid());

    // Half of them say nothing, half of them begin to speak.
    let mut crowd = Vec::with_capacity(CROWD);
    for n in 0..CROWD {
        let mut stream = TcpStream::connect(node.address).unwrap();
        if n % 2 == 0 {
            stream.write_all(b"GET /version HTTP/1.1\r\nhost: s\r\nx-slow: ").unwrap();
        }
        crowd.push(stream);
    }
    until("all connections", || open_files(node.pid()) >= CROWD);
    let crowded = times(node.address, 1000);
    let each = (resident(node.pid()) - before) / CROWD as u64;

    // Not the slowest of them, which tell of what else the machine has to do.
    let median = |times: &[Duration]| times[times.len() / 2];
    println!("median {:?} alone, {:?} in the crowd", median(&alone), median(&crowded));
    println!("{each} bytes a connection");
    assert!(open_files(node.pid()) >= CROWD, "they are all there still");
    let most = median(&alone) * 10 + Duration::from_millis(100);
    assert!(median(&crowded) < most, "{:?}", median(&crowded));
    assert!(each < 24 * 1024, "{each} bytes a connection");

    drop(crowd);
    until("an end of all that", || open_files(node.pid()) < 200);
    assert_eq!(Client::connect(node.address).get("/version").status(), 200);
}
