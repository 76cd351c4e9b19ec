//! A web server that does nothing: the same 1 KiB for every request. What stands before it is what
//! `tests/bench gate` measures.
//!
//! `upstream 127.0.0.1:8001`. It reads heads only, so it is no use for requests with bodies.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    for stream in TcpListener::bind(&address)?.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A thread for each connection: proxies keep a few dozen.
        std::thread::spawn(move || drop(serve(stream)));
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let body = "x".repeat(1024);
    let head = format!("content-type: text/plain\r\ncontent-length: {}", body.len());
    let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
    let mut buffer = [0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
            stream.write_all(answer.as_bytes())?;
        }
    }
}
