//! Log lines of the long-running programs.
//!
//! A program never waits for its log, and never fails for it: lines go to a thread that writes them to
//! stderr. Where that is closed, full, or a pipe that nobody reads, lines are lost and counted, and
//! nothing else happens. Panics become lines of the log, too, and are counted.

use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

/// Lines that may wait to be written.
const AHEAD: usize = 4096;

/// Bytes that may wait to be written.
const AHEAD_BYTES: usize = 4 << 20;

/// How long the end of a program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How often the end of a program looks whether there is room to ask for them.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// This program's log, once it has one.
static LOG: OnceLock<Log> = OnceLock::new();

/// Panics in any thread or task since the log began.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How much a long-running program says when nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// What happens and why.
    Normal,
    /// Only what needs attention.
    Quiet,
}

/// Sends log lines to stderr; `CUTOVER_LOG` (e.g. `debug`) overrides `verbosity`.
///
/// Nothing fails and nobody waits where stderr cannot be written: see [`log_lines_lost`]. Panics are
/// lines of the log from now on: see [`panics`]. Called once, before there are other threads.
pub fn log_to_stderr(verbosity: Verbosity) {
    let default = match verbosity {
        Verbosity::Normal => "info",
        Verbosity::Quiet => "warn",
    };
    let filter = EnvFilter::try_from_env("CUTOVER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = LOG.get_or_init(|| Log::start(io::stderr()));
    tracing_subscriber::fmt()
        .with_writer(move || Line(log))
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_target(false)
        .init();
    std::panic::set_hook(Box::new(count_panic));
}

/// Lines that could not be written since the log began.
#[must_use]
pub fn log_lines_lost() -> u64 {
    LOG.get().map_or(0, |log| log.lost.load(Ordering::Relaxed))
}

/// Panics in any thread or task since the log began.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Waits until all lines so far are written or lost, for two seconds at the most.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(LAST_LINES);
    }
}

fn count_panic(info: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let why = info.payload_as_str().unwrap_or("no message");
    let at = info.location().map_or_else(String::new, |location| format!(" at {location}"));
    if let Some(log) = LOG.get() {
        // A second panic in here would be the end of the program. A clock may say anything.
        let now = jiff::Timestamp::try_from(std::time::SystemTime::now());
        let now = now.map_or_else(|_| "-".to_owned(), |now| format!("{now:.6}"));
        log.add(format!("{now} ERROR thread `{thread}` panicked{at}: {why}\n").as_bytes());
    }
    if thread == "main" {
        // This may be the program's end.
        flush();
    }
}

/// Lines on their way to the thread that writes them.
struct Log {
    /// None where there could be no such thread: then all lines are lost.
    messages: Option<SyncSender<Message>>,
    waiting: &'static AtomicUsize,
    lost: &'static AtomicU64,
}

enum Message {
    Line(Vec<u8>),
    /// All before it is written or lost.
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the thread that writes to `output`.
    fn start(output: impl Write + Send + 'static) -> Self {
        let (messages, arrivals) = sync_channel(AHEAD);
        // A program has one log, which lives as long as it does.
        let waiting: &'static AtomicUsize = Box::leak(Box::default());
        let lost: &'static AtomicU64 = Box::leak(Box::default());
        let builder = std::thread::Builder::new().name("log".to_owned());
        let started = builder.spawn(move || write(output, &arrivals, waiting, lost));
        Self { messages: started.is_ok().then_some(messages), waiting, lost }
    }

    fn add(&self, line: &[u8]) {
        let waiting = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let room = waiting + line.len() <= AHEAD_BYTES;
        let sent = self
            .messages
            .as_ref()
            .filter(|_| room)
            .is_some_and(|messages| messages.try_send(Message::Line(line.to_owned())).is_ok());
        if !sent {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, within: Duration) {
        let Some(messages) = &self.messages else { return };
        let deadline = Instant::now() + within;
        let (done, written) = sync_channel(1);
        let mut flush = Message::Flush(done);
        while let Err(TrySendError::Full(message)) = messages.try_send(flush) {
            if Instant::now() >= deadline {
                return;
            }
            flush = message;
            std::thread::sleep(LOOK_AGAIN);
        }
        match written.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

fn write(
    mut output: impl Write,
    arrivals: &Receiver<Message>,
    waiting: &AtomicUsize,
    lost: &AtomicU64,
) {
    let mut told = 0;
    for message in arrivals {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(done) => {
                // Whoever waited may have gone.
                let _ = done.try_send(());
                continue;
            }
        };
        let missing = lost.load(Ordering::Relaxed);
        if missing > told && writeln!(output, "log lines lost: {}", missing - told).is_ok() {
            told = missing;
        }
        if output.write_all(&line).and_then(|()| output.flush()).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
    }
}

/// Takes each line whole, and never fails.
struct Line<'a>(&'a Log);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    const SOON: Duration = Duration::from_secs(60);

    #[test]
    fn a_closed_output_costs_lines_and_nothing_else() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let log = Log::start(writer);
        for _ in 0..3 {
            Line(&log).write_all(b"a line\n").unwrap();
        }
        log.flush(SOON);
        assert_eq!(log.lost.load(Ordering::Relaxed), 3);
        assert_eq!(log.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nobody_waits_for_an_output_that_is_not_read() {
        let (mut reader, writer) = io::pipe().unwrap();
        let log = Log::start(writer);
        let line = [[b'x'; 999].as_slice(), b"\n"].concat();
        for _ in 0..2 * AHEAD {
            Line(&log).write_all(&line).unwrap();
        }
        let lost = log.lost.load(Ordering::Relaxed);
        assert!(lost > 0, "a pipe holds less");
        log.flush(Duration::from_millis(1));
        // What could wait is written when somebody reads again, and how much is missing is said.
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        log.flush(SOON);
        let Log { messages, .. } = log;
        drop(messages);
        let text = reading.join().unwrap().unwrap();
        let told = text.lines().filter_map(|line| line.strip_prefix("log lines lost: "));
        assert_eq!(told.map(|number| number.parse::<u64>().unwrap()).sum::<u64>(), lost);
        let written = text.lines().filter(|line| line.len() == 999).count();
        assert_eq!(written as u64 + lost, 2 * AHEAD as u64);
    }
}
