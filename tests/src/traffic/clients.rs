//! Who asks: each client goes on with one kind of request for as long as it is wanted.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tally::Outcome;
use super::wire::{Answer, Head, Wire};

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// `GET` of this path, one after the other on a connection that is kept.
    Get(String),
    /// Four at once on a connection that is kept, before the first is answered.
    Pipelined,
    /// A body that takes about a second to send, with its length.
    Upload,
    /// The same in chunks.
    ChunkedUpload,
    /// An answer that takes about a second to come, with its length.
    Download,
    /// The same in chunks.
    ChunkedDownload,
    /// A WebSocket with a word every tenth of a second, for two seconds.
    Socket,
    /// The same, until the service goes away, or nothing more is wanted.
    LastingSocket,
}

/// Bytes of an upload or a download.
const SIZE: usize = 200_000;

/// Pieces that an upload is sent in.
const PIECES: usize = 20;

/// Between two of them, or two words on a WebSocket.
const BEAT: Duration = Duration::from_millis(50);

impl Client {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Pipelined => "pipelined",
            Self::Upload => "upload",
            Self::ChunkedUpload => "chunked upload",
            Self::Download => "download",
            Self::ChunkedDownload => "chunked download",
            Self::Socket => "socket",
            Self::LastingSocket => "lasting socket",
        }
    }

    /// Asks once, or once for each request that is sent together; tells how each ended.
    pub(super) fn ask(
        &self,
        address: SocketAddr,
        kept: &mut Option<Wire>,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Outcome),
    ) {
        let mut wire = match kept.take().map_or_else(|| Wire::open(address), Ok) {
            Ok(wire) => wire,
            Err(error) => return tell(Outcome::Failed(error.to_string())),
        };
        let closes = match self {
            Self::Get(path) => get(&mut wire, path, tell),
            Self::Pipelined => pipelined(&mut wire, tell),
            Self::Upload => {
                upload(&mut wire, Framed::ByLength).map(|answer| uploaded(answer, tell))
            }
            Self::ChunkedUpload => {
                upload(&mut wire, Framed::InChunks).map(|answer| uploaded(answer, tell))
            }
            Self::Download => download(&mut wire, "", tell),
            Self::ChunkedDownload => download(&mut wire, ",chunked", tell),
            Self::Socket => {
                let began = Instant::now();
                socket(&mut wire, || began.elapsed() > Duration::from_secs(2), tell)
            }
            Self::LastingSocket => socket(&mut wire, || stop.load(Ordering::Relaxed), tell),
        };
        match closes {
            Ok(Closes::No) => *kept = Some(wire),
            Ok(Closes::Yes) => {}
            Err(error) => tell(Outcome::Failed(error.to_string())),
        }
    }
}

/// Whether the connection ends with this.
enum Closes {
    Yes,
    No,
}

impl Closes {
    fn after(head: &Head) -> Self {
        if head.closes { Self::Yes } else { Self::No }
    }
}

enum Framed {
    ByLength,
    InChunks,
}

type Ended = io::Result<Closes>;

fn get(wire: &mut Wire, path: &str, tell: &mut dyn FnMut(Outcome)) -> Ended {
    wire.ask("GET", path, "")?;
    let answer = wire.answer()?;
    tell(outcome(&answer, same_version(&answer)));
    Ok(Closes::after(&answer.head))
}

fn pipelined(wire: &mut Wire, tell: &mut dyn FnMut(Outcome)) -> Ended {
    const TOGETHER: usize = 4;
    for _ in 0..TOGETHER {
        wire.ask("GET", "/", "")?;
    }
    for _ in 0..TOGETHER {
        let answer = wire.answer()?;
        tell(outcome(&answer, same_version(&answer)));
        if answer.head.closes {
            // What was sent after it was not taken, as the word says; it may be sent again.
            return Ok(Closes::Yes);
        }
    }
    Ok(Closes::No)
}

fn upload(wire: &mut Wire, framed: Framed) -> io::Result<Answer> {
    let fields = match framed {
        Framed::ByLength => format!("Content-Length: {SIZE}\r\n"),
        Framed::InChunks => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    wire.ask("POST", "/upload", &fields)?;
    let piece = vec![7; SIZE / PIECES];
    for _ in 0..PIECES {
        let sent = match framed {
            Framed::ByLength => wire.send(&piece),
            Framed::InChunks => {
                let head = format!("{:x}\r\n", piece.len());
                wire.send(&[head.as_bytes(), &piece, b"\r\n"].concat())
            }
        };
        if sent.is_err() {
            // Refused meanwhile: the answer is there already.
            return wire.answer();
        }
        std::thread::sleep(BEAT);
    }
    if let Framed::InChunks = framed {
        // The same: what matters is the answer.
        let _ = wire.send(b"0\r\n\r\n");
    }
    wire.answer()
}

fn uploaded(answer: Answer, tell: &mut dyn FnMut(Outcome)) -> Closes {
    tell(outcome(&answer, |body| body["bytes"] == SIZE && body["sum"] == 7 * SIZE));
    // A refusal may have come before all was sent, and what was still under way is no request.
    if answer.head.refuses() { Closes::Yes } else { Closes::after(&answer.head) }
}

fn download(wire: &mut Wire, how: &str, tell: &mut dyn FnMut(Outcome)) -> Ended {
    wire.ask("GET", &format!("/download?{SIZE}{how}"), "")?;
    let answer = wire.answer()?;
    let whole = || {
        let mut bytes = answer.body.iter().enumerate();
        answer.body.len() == SIZE && bytes.all(|(at, byte)| usize::from(*byte) == at % 251)
    };
    tell(match good(&answer.head) {
        Err(outcome) => outcome,
        Ok(outcome) if whole() => outcome,
        Ok(_) => Outcome::Failed(format!("{} bytes came, or others", answer.body.len())),
    });
    Ok(Closes::after(&answer.head))
}

fn socket(wire: &mut Wire, enough: impl Fn() -> bool, tell: &mut dyn FnMut(Outcome)) -> Ended {
    // The key of RFC 6455's own example.
    let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    wire.ask("GET", "/socket", fields)?;
    let head = wire.head()?;
    let version = match (head.status(), &head.version) {
        ("101", Some(version)) => version.clone(),
        _ => {
            tell(good(&head).unwrap_or_else(|outcome| outcome));
            return Ok(Closes::Yes);
        }
    };
    tell(loop {
        match echo(wire) {
            Ok(Echo::Same) => {}
            Ok(Echo::Parting) => break Outcome::Parted,
            Ok(Echo::Other) => break Outcome::Failed("a socket said something else".to_owned()),
            // The service had as long as it may take to end, and was then killed.
            Err(_) => break Outcome::Parted,
        }
        if enough() {
            break Outcome::Served { version, announced: head.announced };
        }
        std::thread::sleep(BEAT);
    });
    Ok(Closes::Yes)
}

enum Echo {
    Same,
    Parting,
    Other,
}

/// One short masked frame there, and the same without a mask back.
fn echo(wire: &mut Wire) -> io::Result<Echo> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let word = b"cutover";
    let length = word.len() as u8;
    let mut frame = vec![0x81, 0x80 | length];
    frame.extend(MASK);
    frame.extend(word.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    wire.send(&frame)?;
    let mut head = [0; 2];
    wire.read(&mut head)?;
    let mut body = vec![0; usize::from(head[1])];
    wire.read(&mut body)?;
    Ok(match head[0] & 15 {
        8 => Echo::Parting,
        1 if body == word => Echo::Same,
        _ => Echo::Other,
    })
}

/// How an answer with a JSON body counts, which must be `right`.
fn outcome(answer: &Answer, right: impl Fn(&Value) -> bool) -> Outcome {
    let outcome = match good(&answer.head) {
        Err(outcome) => return outcome,
        Ok(outcome) => outcome,
    };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if right(&body) { outcome } else { Outcome::Failed(format!("a wrong answer: {body}")) }
}

/// The release that answered, where it says which it is, is the one that the gate names.
fn same_version(answer: &Answer) -> impl Fn(&Value) -> bool {
    let version = answer.head.version.clone();
    move |body| body["version"].as_str().is_none_or(|named| Some(named) == version.as_deref())
}

/// How a head counts where the body is good; as an error where that does not matter any more.
fn good(head: &Head) -> Result<Outcome, Outcome> {
    match (head.status(), &head.version) {
        ("200", Some(version)) => {
            Ok(Outcome::Served { version: version.clone(), announced: head.announced })
        }
        _ if head.refuses() => Err(Outcome::Refused),
        _ => Err(Outcome::Failed(head.line().to_owned())),
    }
}
