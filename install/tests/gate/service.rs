//! A small web application with everything that proxies get wrong.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody has asked for its health.
static ASKED: AtomicBool = AtomicBool::new(false);

/// `abc` in one chunk.
const CHUNKS: &str = "3\r\nabc\r\n0\r\n\r\n";

/// How often `/fickle` was asked for.
static FICKLE: AtomicU32 = AtomicU32::new(0);

/// The number of the next line of chatter.
static CHATTER: AtomicU32 = AtomicU32::new(0);

/// Serves for ever, as the environment says.
pub(crate) fn serve() -> ! {
    let variable = |name| std::env::var(name).unwrap();
    let (listen, mode) = (variable("TEST_SERVICE_LISTEN"), variable("TEST_SERVICE_MODE"));
    match &mode[..] {
        "Ends" => {
            println!("cannot find my database");
            std::process::exit(3);
        }
        "Slow" => std::thread::sleep(Duration::from_millis(300)),
        "Signals" | "Deaf" => note_signals(mode == "Deaf"),
        _ => {}
    }
    if mode == "Unix" {
        for stream in UnixListener::bind(&listen).unwrap().incoming() {
            let (stream, mode) = (stream.unwrap(), mode.clone());
            std::thread::spawn(move || connection(&stream, &stream, &mode));
        }
    } else {
        for stream in TcpListener::bind(&listen).unwrap().incoming() {
            let (stream, mode) = (stream.unwrap(), mode.clone());
            std::thread::spawn(move || connection(&stream, &stream, &mode));
        }
    }
    unreachable!("listeners do not end")
}

/// Writes down each signal as soon as there is one, on a thread of its own.
fn note_signals(goes_on: bool) {
    let mut record = record();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for (name, kind) in [
        ("TERM", SignalKind::terminate()),
        ("INT", SignalKind::interrupt()),
        ("QUIT", SignalKind::quit()),
        ("HUP", SignalKind::hangup()),
        ("USR1", SignalKind::user_defined1()),
        ("USR2", SignalKind::user_defined2()),
        ("WINCH", SignalKind::window_change()),
    ] {
        let _entered = runtime.enter();
        let (mut signals, tell) = (signal(kind).unwrap(), tell.clone());
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                tell.send(name).unwrap();
            }
        });
    }
    std::thread::spawn(move || {
        while let Some(name) = runtime.block_on(told.recv()) {
            writeln!(record, "{name}").unwrap();
            if !goes_on {
                std::process::exit(0);
            }
        }
    });
}

fn record() -> File {
    let path = std::env::var("TEST_SERVICE_RECORD").unwrap();
    File::options().create(true).append(true).open(path).unwrap()
}

struct Head {
    text: String,
    path: String,
}

impl Head {
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            if reader.read_line(&mut text).ok()? == 0 {
                return None;
            }
        }
        let path = text.split(' ').nth(1)?.to_owned();
        Some(Self { text, path })
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Writes down what is read.
struct Recording<R> {
    input: R,
    record: Option<File>,
}

impl<R: Read> Read for Recording<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        if let Some(record) = &mut self.record {
            record.write_all(&buffer[..read])?;
        }
        Ok(read)
    }
}

fn connection(input: impl Read, mut output: impl Write + Send, mode: &str) -> Option<()> {
    let version = std::env::var("TEST_SERVICE_VERSION").unwrap();
    let record = (mode == "Record").then(record);
    let mut reader = BufReader::new(Recording { input, record });
    let mut used = false;
    loop {
        let head = Head::read(&mut reader)?;
        match &head.path[..] {
            "/health" if mode == "Sickens" && ASKED.swap(true, Ordering::Relaxed) => {
                answer(&mut output, "500 Broken", "ill by now")
            }
            "/health" if mode == "Ill" => answer(&mut output, "500 Broken", "ill"),
            "/health" => answer(&mut output, "200 OK", "well"),
            "/version" => answer(&mut output, "200 OK", &version),
            "/head" => answer(&mut output, "200 OK", &head.text),
            "/env" => {
                let token = std::env::var("CUTOVER_TOKEN").unwrap_or_default();
                answer(&mut output, "200 OK", &format!("token={token}"))
            }
            "/count" => {
                let mut count = 0_u64;
                body(&mut reader, &head, |bytes| count += bytes.len() as u64)?;
                answer(&mut output, "200 OK", &count.to_string())
            }
            // As /count, but not at once.
            "/late" => {
                std::thread::sleep(Duration::from_millis(2500));
                let mut count = 0_u64;
                body(&mut reader, &head, |bytes| count += bytes.len() as u64)?;
                answer(&mut output, "200 OK", &count.to_string())
            }
            "/take" => {
                if head.field("content-length").or(head.field("transfer-encoding")).is_some() {
                    body(&mut reader, &head, |_| {})?;
                }
                answer(&mut output, "200 OK", "taken")
            }
            "/hidden" => answer(&mut output, "200 OK", "hidden"),
            // Answers each piece as it comes, before the request has ended.
            "/echo" => {
                write!(output, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
                body(&mut reader, &head, |bytes| chunk(&mut output, bytes))?;
                write!(output, "0\r\n\r\n").ok()
            }
            "/large" => {
                write!(output, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 64 << 20).ok()?;
                let block = vec![b'x'; 1 << 20];
                (0..64).try_for_each(|_| output.write_all(&block)).ok()
            }
            // Answers at length while it reads at length.
            "/both" => std::thread::scope(|scope| {
                let answering =
                    scope.spawn(|| answer(&mut output, "200 OK", &"x".repeat(32 << 20)));
                body(&mut reader, &head, |_| {})?;
                answering.join().ok()?
            }),
            "/leave" => {
                answer(&mut output, "200 OK", "and it closes, which it does not say")?;
                return None;
            }
            "/old" => {
                write!(output, "HTTP/1.0 200 OK\r\n\r\nuntil the end").ok()?;
                return None;
            }
            "/hop" => {
                let fields =
                    "connection: x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=9\r\nx-yours: 2";
                write!(output, "HTTP/1.1 204 Nothing Here\r\n{fields}\r\n\r\n").ok()
            }
            "/slow" => {
                std::thread::sleep(Duration::from_millis(300));
                answer(&mut output, "200 OK", &version)
            }
            // Answers when the test says so.
            "/held" => {
                let word = std::env::var("TEST_SERVICE_ANSWER").unwrap();
                while !std::fs::exists(&word).unwrap() {
                    std::thread::sleep(Duration::from_millis(10));
                }
                answer(&mut output, "200 OK", &version)
            }
            "/upgrade" => {
                let fields = "connection: Upgrade\r\nupgrade: websocket";
                write!(output, "HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\r\n").ok()?;
                std::io::copy(&mut reader, &mut output).ok()?;
                output.write_all(b"bye").ok()?;
                return None;
            }
            "/status" => {
                answer(&mut output, "200 OK", &std::fs::read_to_string("/proc/self/status").ok()?)
            }
            "/limits" => {
                answer(&mut output, "200 OK", &std::fs::read_to_string("/proc/self/limits").ok()?)
            }
            "/chatter" => {
                let from = CHATTER.fetch_add(2000, Ordering::Relaxed);
                (from..from + 2000).for_each(|number| println!("chatter {number:06}"));
                answer(&mut output, "200 OK", "said")
            }
            // A descendant that leaves the group and the session, and outlives its parent.
            "/leak" => {
                let shell = "setsid sleep 600 >/dev/null 2>&1 & echo $!";
                let leaked = std::process::Command::new("sh").args(["-c", shell]).output().ok()?;
                answer(&mut output, "200 OK", std::str::from_utf8(&leaked.stdout).ok()?.trim())
            }
            "/break" => return None,
            path if path.starts_with("/framed/") => {
                let (version, fields, body) = match &path[8..] {
                    "both" => ("1.1", "content-length: 9\r\ntransfer-encoding: chunked", CHUNKS),
                    "coded" => ("1.1", "transfer-encoding: gzip, chunked", CHUNKS),
                    "old" => ("1.0", "transfer-encoding: chunked", CHUNKS),
                    "lengths" => ("1.1", "content-length: 3, 3", "abc"),
                    _ => ("1.1", "content-length: 3\r\ncontent-length: 4", "abcd"),
                };
                write!(output, "HTTP/{version} 200 OK\r\n{fields}\r\n\r\n{body}").ok()
            }
            // Answers before it has read the body, and closes.
            "/early" => {
                let fields = "content-length: 3\r\nconnection: close";
                // In one piece: what waits for the first piece of several is lost with the connection.
                let text = format!("HTTP/1.1 401 Unauthorized\r\n{fields}\r\n\r\nno\n");
                output.write_all(text.as_bytes()).ok()?;
                return None;
            }
            // Closes the second time on a connection, without a word; counts how often it was asked.
            "/fickle" => {
                FICKLE.fetch_add(1, Ordering::Relaxed);
                if std::mem::replace(&mut used, true) {
                    return None;
                }
                answer(&mut output, "200 OK", &FICKLE.load(Ordering::Relaxed).to_string())
            }
            "/die" => std::process::exit(9),
            _ => answer(&mut output, "404 Not Found", "?"),
        }?;
    }
}

fn answer(output: &mut impl Write, status: &str, text: &str) -> Option<()> {
    let length = text.len();
    output
        .write_all(
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{text}").as_bytes(),
        )
        .ok()
}

fn chunk(output: &mut impl Write, bytes: &[u8]) {
    let head = format!("{:x}\r\n", bytes.len());
    output.write_all(&[head.as_bytes(), bytes, b"\r\n"].concat()).unwrap();
}

fn body(reader: &mut impl BufRead, head: &Head, mut take: impl FnMut(&[u8])) -> Option<()> {
    if let Some(length) = head.field("content-length") {
        let mut left: usize = length.parse().ok()?;
        while left > 0 {
            let piece = reader.fill_buf().ok()?;
            let read = piece.len().min(left);
            take(&piece[..read]);
            reader.consume(read);
            left -= read;
        }
        return Some(());
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut piece = vec![0; usize::from_str_radix(line.trim(), 16).ok()? + 2];
        reader.read_exact(&mut piece).ok()?;
        match &piece[..piece.len() - 2] {
            [] => return Some(()),
            bytes => take(bytes),
        }
    }
}
