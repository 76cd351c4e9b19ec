//! The access log: one line of JSON for each request, when its answer has ended.
//!
//! Threads that serve only make the line and lay it before a thread that writes. Where that one
//! cannot keep up (a disk that stands still), lines are lost and counted; no request waits for its line,
//! and the gate's end does so for a moment only.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::log_files::LogFiles;

/// Bytes that are written at once, about.
const BATCH: usize = 64 * 1024;

/// How long the gate's end waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How often it is looked whether they are written.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The client went away before there was an answer. No answer has this status: it is nginx' word.
const GONE: u16 = 499;

/// The log, as the threads that serve see it.
#[derive(Debug)]
pub(super) struct AccessLog {
    path: PathBuf,
    lines: Sender<Message>,
    writer: JoinHandle<()>,
    counts: Arc<Counts>,
    /// Bytes that may wait at the most.
    most: u64,
}

#[derive(Debug, Default)]
struct Counts {
    /// Lines that lie before the writer, or that it has in its hands.
    lines: AtomicU64,
    /// Their bytes.
    bytes: AtomicU64,
    /// Lines that were lost.
    lost: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Reopen,
    End,
}

impl AccessLog {
    /// Opens the file and starts to write; `most` bytes may wait for that.
    pub(super) fn start(files: LogFiles, most: u64) -> io::Result<Arc<Self>> {
        let files = files.open()?;
        let path = files.path.clone();
        let (lines, arrivals) = channel();
        let builder = std::thread::Builder::new().name("access-log".to_owned());
        let counts = Arc::<Counts>::default();
        let mut writer = Writer { files, counts: counts.clone(), well: true };
        // After a panic, which costs the lines in hand, it goes on.
        let write = move || {
            while catch_unwind(AssertUnwindSafe(|| writer.write(&arrivals))).is_err() {}
        };
        let writer = builder.spawn(write)?;
        Ok(Arc::new(Self { path, lines, writer, counts, most }))
    }

    /// Opens the file anew, for whoever has renamed it.
    pub(super) fn reopen(&self) {
        if self.lines.send(Message::Reopen).is_err() {
            tracing::error!("the access log has ended and is not opened anew");
        }
    }

    /// Waits until all lines so far are written, but no longer than [`LAST_LINES`]: a disk that stands
    /// still is no reason for a gate to go on. Later lines are lost.
    pub(super) fn end(&self) {
        let began = Instant::now();
        // Fails where the writer has ended already.
        drop(self.lines.send(Message::End));
        while !self.writer.is_finished() {
            if began.elapsed() >= LAST_LINES {
                let (path, lines) =
                    (self.path.display(), self.counts.lines.load(Ordering::Relaxed));
                tracing::error!(%path, lines, "the access log stands still: its last lines are lost");
                return;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Lays a line before the writer, if there is room.
    fn lay(&self, line: Option<String>) {
        let Counts { lines, bytes, lost } = &*self.counts;
        let length = line.as_ref().map_or(0, |line| line.len() as u64);
        lines.fetch_add(1, Ordering::Relaxed);
        let fits = bytes.fetch_add(length, Ordering::Relaxed) + length <= self.most;
        let line = line.filter(|_| fits);
        if line.is_none_or(|line| self.lines.send(Message::Line(line)).is_err()) {
            lines.fetch_sub(1, Ordering::Relaxed);
            bytes.fetch_sub(length, Ordering::Relaxed);
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Lines that were lost.
    pub(super) fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }
}

/// The thread that writes.
struct Writer {
    files: LogFiles,
    counts: Arc<Counts>,
    /// Whether the last lines could be written.
    well: bool,
}

impl Writer {
    fn write(&mut self, arrivals: &Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut next = arrivals.recv().ok();
        while let Some(message) = next {
            let more = match message {
                Message::Line(line) => {
                    batch.extend_from_slice(line.as_bytes());
                    batch.push(b'\n');
                    true
                }
                Message::Reopen => {
                    self.put(&mut batch);
                    if let Err(error) = self.files.reopen() {
                        tracing::error!(%error, "cannot open the access log anew");
                    }
                    true
                }
                Message::End => false,
            };
            next = if more { arrivals.try_recv().ok() } else { None };
            if next.is_none() || batch.len() >= BATCH {
                self.put(&mut batch);
            }
            if more && next.is_none() {
                next = arrivals.recv().ok();
            }
        }
    }

    fn put(&mut self, batch: &mut Vec<u8>) {
        if batch.is_empty() {
            return;
        }
        let written = self.files.write(batch);
        let lines = batch.iter().filter(|byte| **byte == b'\n').count();
        self.counts.lines.fetch_sub(lines as u64, Ordering::Relaxed);
        // Ends of lines were not counted.
        self.counts.bytes.fetch_sub((batch.len() - lines) as u64, Ordering::Relaxed);
        batch.clear();
        let path = self.files.path.display();
        match &written {
            Ok(()) if !self.well => tracing::info!(%path, "the access log is written again"),
            Err(lost) if self.well => {
                tracing::warn!(%path, error = %lost.why, "lines of the access log are lost");
            }
            _ => {}
        }
        self.well = written.is_ok();
        let lost = written.map_or_else(|lost| lost.lines, |()| 0);
        self.counts.lost.fetch_add(lost, Ordering::Relaxed);
    }
}

/// A request's line in the making; it is complete when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    log: Arc<AccessLog>,
    request: Request,
    status: Option<StatusCode>,
    version: Option<HeaderValue>,
    bytes: u64,
}

/// What is known of a request from the beginning.
#[derive(Debug)]
pub(super) struct Request {
    /// When it came.
    pub(super) at: Instant,
    /// Who sent it.
    pub(super) client: HeaderValue,
    /// Its method and its path, without the query: that may hold secrets. `None` where it could not be
    /// read.
    pub(super) target: Option<(Method, String)>,
    /// Its name.
    pub(super) id: HeaderValue,
}

impl Entry {
    /// The line of `request`.
    pub(super) fn new(log: Arc<AccessLog>, request: Request) -> Box<Self> {
        Box::new(Self { log, request, status: None, version: None, bytes: 0 })
    }

    /// The head of its answer, by a release or by the gate itself.
    pub(super) fn answered(&mut self, status: StatusCode, version: Option<HeaderValue>) {
        self.status = Some(status);
        self.version = version;
    }

    /// Another piece of the answer's body.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    fn line(&self, now: Timestamp) -> Option<String> {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            client: &'a str,
            method: Option<&'a str>,
            path: Option<&'a str>,
            status: u16,
            bytes: u64,
            ms: f64,
            version: Option<&'a str>,
            id: &'a str,
        }
        let target = self.request.target.as_ref();
        let line = Line {
            time: format!("{now:.3}"),
            client: self.request.client.to_str().ok()?,
            method: target.map(|(method, _)| method.as_str()),
            path: target.map(|(_, path)| &path[..]),
            status: self.status.map_or(GONE, |status| status.as_u16()),
            bytes: self.bytes,
            ms: self.request.at.elapsed().as_micros() as f64 / 1000.0,
            version: self.version.as_ref().and_then(|version| version.to_str().ok()),
            id: self.request.id.to_str().ok()?,
        };
        serde_json::to_string(&line).ok()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.log.lay(self.line(Timestamp::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_stands_still_costs_lines_and_nothing_else() {
        const LINES: u64 = 20_000;
        // A pipe that nobody reads takes 64 KiB; then the writer waits for ever.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let _reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let log = AccessLog::start(LogFiles::new(path, u64::MAX, 1), 1 << 20).unwrap();
        for _ in 0..LINES {
            let mut entry = Entry::new(log.clone(), request("/a\"\n\u{7f}"));
            entry.answered(StatusCode::OK, Some(HeaderValue::from_static("1.0.0")));
        }
        let waiting = log.counts.lines.load(Ordering::Relaxed);
        assert!(log.lost() > 0 && waiting > 0 && waiting + log.lost() <= LINES, "{waiting}");
        assert!((1..=1 << 20).contains(&log.waiting()), "{}", log.waiting());
        let began = Instant::now();
        log.end();
        assert!(began.elapsed() >= LAST_LINES && !log.writer.is_finished());
    }

    fn request(path: &str) -> Request {
        Request {
            at: Instant::now(),
            client: HeaderValue::from_static("127.0.0.1"),
            target: Some((Method::GET, path.to_owned())),
            id: HeaderValue::from_static("a"),
        }
    }

    #[test]
    fn a_line_is_one_object_on_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = AccessLog::start(LogFiles::new(path.clone(), 1 << 20, 2), 1 << 20).unwrap();
        let mut entry = Entry::new(log.clone(), request("/a\"\n"));
        entry.answered(StatusCode::OK, Some(HeaderValue::from_static("1.0.0")));
        entry.sent(7);
        let line = entry.line(Timestamp::UNIX_EPOCH).unwrap();
        let start = "{\"time\":\"1970-01-01T00:00:00.000Z\",\"client\":\"127.0.0.1\",\
                     \"method\":\"GET\",\"path\":\"/a\\\"\\n\",\"status\":200,\"bytes\":7,\"ms\":";
        assert!(line.starts_with(start), "{line}");
        assert!(line.ends_with(",\"version\":\"1.0.0\",\"id\":\"a\"}"), "{line}");
        drop(entry);
        drop(Entry::new(log.clone(), request("/gone")));
        log.end();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!((log.counts.lines.load(Ordering::Relaxed), log.waiting()), (0, 0));
        assert!(text.contains("\"status\":499,\"bytes\":0"), "{text}");
    }
}
