//! HTTP/1.1 as a client that hides nothing: what was asked, what came back, and how it ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Wire {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Wire {
    /// Connects.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), address })
    }

    /// Sends the head of a request with these further fields, each ending in `\r\n`.
    pub(super) fn ask(&mut self, method: &str, path: &str, fields: &str) -> io::Result<()> {
        let host = self.address;
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n{fields}\r\n");
        self.send(head.as_bytes())
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads an answer to its end.
    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let head = Head::read(&mut self.stream)?;
        let mut body = Vec::new();
        match head.framing {
            Framing::Length(length) => {
                let got = (&mut self.stream).take(length).read_to_end(&mut body)?;
                if (got as u64) < length {
                    return Err(broken("closed in the body"));
                }
            }
            Framing::Chunked => self.chunks(&mut body)?,
        }
        Ok(Answer { head, body })
    }

    /// Reads the head of an answer after which something else follows than HTTP.
    pub(super) fn head(&mut self) -> io::Result<Head> {
        Head::read(&mut self.stream)
    }

    /// Reads exactly so many bytes.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.stream.read_exact(bytes)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim_end(), 16);
            let size = size.map_err(|_| broken("closed in the chunks"))?;
            (&mut self.stream).take(size).read_to_end(body)?;
            line.clear();
            self.stream.read_line(&mut line)?;
            if line != "\r\n" {
                return Err(broken("closed in a chunk"));
            }
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// How long a body is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// The head of an answer, as far as it matters here.
#[derive(Debug)]
pub(super) struct Head {
    line: String,
    framing: Framing,
    /// Nothing more comes on this connection.
    pub(super) closes: bool,
    /// The release that the gate says answered.
    pub(super) version: Option<String>,
    retry_after: bool,
    /// It announces a swap.
    pub(super) announced: bool,
}

impl Head {
    fn read(stream: &mut impl BufRead) -> io::Result<Self> {
        let mut head = Self {
            line: String::new(),
            framing: Framing::Length(0),
            closes: false,
            version: None,
            retry_after: false,
            announced: false,
        };
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("closed without an answer"));
        }
        line.trim_end().clone_into(&mut head.line);
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Err(broken("closed in the head"));
            }
            match line.trim_end().split_once(':') {
                None if line.trim_end().is_empty() => return Ok(head),
                None => return Err(io::Error::new(io::ErrorKind::InvalidData, line)),
                Some((name, value)) => head.field(&name.to_ascii_lowercase(), value.trim())?,
            }
        }
    }

    fn field(&mut self, name: &str, value: &str) -> io::Result<()> {
        match name {
            "content-length" => {
                let length = value.parse().map_err(|_| broken("a length that is none"))?;
                self.framing = Framing::Length(length);
            }
            "transfer-encoding" => self.framing = Framing::Chunked,
            "connection" => self.closes = value.eq_ignore_ascii_case("close"),
            "x-cutover-version" => self.version = Some(value.to_owned()),
            "retry-after" => self.retry_after = value.parse::<u64>().is_ok(),
            "x-backoff" => self.announced = true,
            _ => {}
        }
        Ok(())
    }

    /// The status.
    pub(super) fn status(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The status line.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// Whether it is a declared refusal.
    pub(super) fn refuses(&self) -> bool {
        self.status() == "503" && self.retry_after
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}
