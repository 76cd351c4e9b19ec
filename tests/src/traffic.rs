//! Steady traffic: a few keep-alive connections that ask, wait, and ask again, and a tally of what
//! came back. No answer is retried, none is forgotten.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How to ask.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Whom.
    pub address: SocketAddr,
    /// For what.
    pub path: String,
    /// Over this many connections.
    pub connections: usize,
    /// With this pause between an answer and the next question.
    pub pause: Duration,
}

/// What came back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Questions asked.
    pub requests: u64,
    /// Good answers, by the release that the gate says gave them.
    pub served: BTreeMap<String, u64>,
    /// 503 with `Retry-After`: declared.
    pub refused: u64,
    /// Anything else: broken off, refused connections, other statuses, 503 without `Retry-After`.
    pub failed: u64,
    /// What the first few failures were.
    pub failures: Vec<String>,
    /// Milliseconds that the slowest answer took.
    pub slowest_ms: u64,
    /// Good answers that announced a swap with `X-Backoff`.
    pub announced: u64,
}

/// How an answer counts.
enum Kind {
    Served { version: String, announced: bool },
    Refused,
    Failed(String),
}

impl Traffic {
    /// Asks until `stop` is set; the tally of all connections.
    #[must_use]
    pub fn run(&self, stop: &AtomicBool) -> Tally {
        let tally = Mutex::new(Tally::default());
        std::thread::scope(|scope| {
            for _ in 0..self.connections {
                scope.spawn(|| self.ask_until(stop, &tally));
            }
        });
        tally.into_inner().expect("no thread panicked")
    }

    fn ask_until(&self, stop: &AtomicBool, tally: &Mutex<Tally>) {
        let mut connection: Option<BufReader<TcpStream>> = None;
        while !stop.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let kind = match self.ask(&mut connection) {
                Ok(kind) => kind,
                Err(error) => {
                    connection = None;
                    Kind::Failed(error.to_string())
                }
            };
            tally.lock().expect("no thread panicked").count(kind, asked.elapsed());
            std::thread::sleep(self.pause);
        }
    }

    fn ask(&self, connection: &mut Option<BufReader<TcpStream>>) -> io::Result<Kind> {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => BufReader::new(self.connect()?),
        };
        let host = self.address;
        let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n", self.path);
        stream.get_mut().write_all(request.as_bytes())?;
        let head = Head::read(&mut stream)?;
        io::copy(&mut stream.by_ref().take(head.length), &mut io::sink())?;
        if !head.closes {
            *connection = Some(stream);
        }
        Ok(head.kind())
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Tally {
    fn count(&mut self, kind: Kind, took: Duration) {
        const KEPT: usize = 5;
        self.requests += 1;
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.slowest_ms = self.slowest_ms.max(took);
        match kind {
            Kind::Served { version, announced } => {
                *self.served.entry(version).or_default() += 1;
                self.announced += u64::from(announced);
            }
            Kind::Refused => self.refused += 1,
            Kind::Failed(why) => {
                self.failed += 1;
                if self.failures.len() < KEPT {
                    self.failures.push(why);
                }
            }
        }
    }
}

#[derive(Default)]
struct Head {
    status: String,
    length: u64,
    closes: bool,
    version: Option<String>,
    retry_after: bool,
    announced: bool,
}

impl Head {
    fn read(stream: &mut impl BufRead) -> io::Result<Self> {
        let mut head = Self::default();
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"));
        }
        line.trim_end().clone_into(&mut head.status);
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the head"));
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
                self.length = value
                    .parse()
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "bad length"))?;
            }
            "transfer-encoding" => {
                return Err(io::Error::other("ask for something that is not chunked"));
            }
            "connection" => self.closes = value.eq_ignore_ascii_case("close"),
            "x-cutover-version" => self.version = Some(value.to_owned()),
            "retry-after" => self.retry_after = value.parse::<u64>().is_ok(),
            "x-backoff" => self.announced = true,
            _ => {}
        }
        Ok(())
    }

    fn kind(self) -> Kind {
        let status = self.status.split(' ').nth(1).unwrap_or_default();
        match (status, self.version) {
            ("200", Some(version)) => Kind::Served { version, announced: self.announced },
            ("503", _) if self.retry_after => Kind::Refused,
            _ => Kind::Failed(self.status),
        }
    }
}
