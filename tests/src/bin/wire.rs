//! `wire ADDRESS`: passes connections on to a server and counts what goes over them.
//!
//! Prints where it listens. For every line on standard input it prints the requests, the bytes to the
//! server and the bytes from it since the line before, headers included.

use std::io::{BufRead as _, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Counted {
    requests: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a small tool that prints")]
fn main() -> ExitCode {
    let Some(server) = std::env::args().nth(1).and_then(|address| address.parse().ok()) else {
        eprintln!("usage: wire ADDRESS:PORT");
        return ExitCode::from(2);
    };
    let counted = Arc::new(Counted::default());
    match listen(server, &counted) {
        Ok(address) => println!("{address}"),
        Err(error) => {
            eprintln!("wire: {error}");
            return ExitCode::FAILURE;
        }
    }
    for _ in std::io::stdin().lock().lines() {
        let take = |number: &AtomicU64| number.swap(0, Ordering::Relaxed);
        println!("{} {} {}", take(&counted.requests), take(&counted.up), take(&counted.down));
    }
    ExitCode::SUCCESS
}

fn listen(server: SocketAddr, counted: &Arc<Counted>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let counted = Arc::clone(counted);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A connection that ends early ends both ways, as it would without us.
            let _ = relay(client, server, &counted);
        }
    });
    Ok(address)
}

fn relay(client: TcpStream, server: SocketAddr, counted: &Arc<Counted>) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let (up, down) = (Arc::clone(counted), Arc::clone(counted));
    std::thread::spawn(move || {
        let mut last = [0; 4];
        pass(from_client, to_server, |bytes| {
            up.up.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            // Only GETs come by here: each ends with an empty line.
            for byte in bytes {
                last.rotate_left(1);
                last[3] = *byte;
                if last == *b"\r\n\r\n" {
                    up.requests.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    });
    std::thread::spawn(move || {
        pass(server, client, |bytes| {
            down.down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
    });
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut count: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
