//! Running somebody else's program to its end: bounded in time, with the last of what it printed.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt;

/// Lines of output that are kept, and most bytes of each.
const LINES: usize = 15;
const LINE: u64 = 1000;
/// How soon the end is noticed.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a program that is told to end may take, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How long output is waited for after the end: a child that lives on may hold the pipe.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes of a log for which there is room whatever happens.
const SET_ASIDE: u64 = 64 << 10;

/// How a program ended, and the last lines that it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub how: How,
    /// The last lines of its output and its complaints, in the order in which they came.
    pub tail: Vec<String>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself, or by a signal.
    Exited(ExitStatus),
    /// It took too long, and was ended with all that it had started.
    TimedOut(Duration),
    /// Somebody interrupted this program meanwhile, and it was ended with all that it had started.
    Interrupted,
}

impl Ended {
    /// Whether all went well.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.how, How::Exited(status) if status.success())
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "failed ({status})"),
            Self::TimedOut(within) => write!(f, "did not end within {within:?}"),
            Self::Interrupted => f.write_str("was interrupted"),
        }
    }
}

/// The program and its arguments, as people would type them.
#[must_use]
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Runs a program in a process group of its own, so that one that takes too long can be ended with
/// all that it has started. It has no standard input.
pub fn run(mut command: Command, within: Duration) -> io::Result<Ended> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn()?;
    // It holds the writing end too.
    drop(command);
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let listening = listen(reader, &tail);
    let how = see_to(&mut child, within, || {})?;
    let ended = Instant::now();
    while !listening.is_finished() && ended.elapsed() < LAST_WORDS {
        std::thread::sleep(PAUSE);
    }
    let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Ended { how, tail: tail.iter().cloned().collect() })
}

/// The same, with all that it prints in the file `log`, in the place of what is there. While it runs,
/// `look` is called again and again.
pub fn run_logged(
    mut command: Command,
    within: Duration,
    log: &Path,
    look: impl FnMut(),
) -> io::Result<Ended> {
    let file = File::options().create(true).append(true).mode(0o600).open(log)?;
    file.set_len(0)?;
    // So that a program which fills the disk can still say so. Not every file system can do that.
    let _ = rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, SET_ASIDE);
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    let mut child = command.spawn()?;
    let how = see_to(&mut child, within, look)?;
    Ok(Ended { how, tail: last_lines(log)? })
}

/// The last lines of a file.
fn last_lines(log: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let most = LINES as u64 * LINE;
    file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].iter().map(|line| (*line).to_owned()).collect())
}

/// Keeps the last lines until nobody holds the other end any more.
fn listen(reader: io::PipeReader, tail: &Arc<Mutex<VecDeque<String>>>) -> JoinHandle<()> {
    let tail = Arc::clone(tail);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while matches!((&mut reader).take(LINE).read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !text.is_empty() {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.push_back(text);
                if tail.len() > LINES {
                    tail.pop_front();
                }
            }
            line.clear();
        }
    })
}

/// Waits for its end, or brings it about.
fn see_to(child: &mut Child, within: Duration, mut look: impl FnMut()) -> io::Result<How> {
    let began = Instant::now();
    loop {
        look();
        let how = match child.try_wait()? {
            Some(status) => return Ok(How::Exited(status)),
            None if interrupt::asked() => How::Interrupted,
            None if began.elapsed() >= within => How::TimedOut(within),
            None => {
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        end(child)?;
        return Ok(how);
    }
}

fn wait(child: &mut Child, within: Duration) -> io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        match child.try_wait()? {
            None if began.elapsed() < within => std::thread::sleep(PAUSE),
            status => return Ok(status),
        }
    }
}

/// Ends a program and what it has started: asks first.
fn end(child: &mut Child) -> io::Result<()> {
    // A program that has not been waited for keeps its id.
    let group = Pid::from_child(child);
    kill_process_group(group, Signal::TERM)?;
    let ended = wait(child, GRACE)?;
    match kill_process_group(group, Signal::KILL) {
        // Nobody was left.
        Err(rustix::io::Errno::SRCH) => {}
        killed => killed?,
    }
    if ended.is_none() {
        child.wait()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_in_order_and_only_the_last_of_them() {
        let ended = run(sh("echo one; echo two >&2; exit 3"), LONG).unwrap();
        assert_eq!(ended.tail, ["one", "two"]);
        assert_eq!(ended.how.to_string(), "failed (exit status: 3)");
        let ended = run(sh("seq 100000"), LONG).unwrap();
        assert!(ended.succeeded());
        assert_eq!((ended.tail.len(), ended.tail[14].as_str()), (15, "100000"));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_its_children() {
        let script = "trap '' TERM; sleep 600 & echo $!; wait; wait";
        let ended = run(sh(script), Duration::from_millis(300)).unwrap();
        assert_eq!(ended.how.to_string(), "did not end within 300ms");
        // Gone, or a zombie that nobody here may wait for; the signal takes a moment to arrive.
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", ended.tail[0]));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let began = Instant::now();
        while lives() {
            assert!(began.elapsed() < LONG);
            std::thread::sleep(PAUSE);
        }
    }

    #[test]
    fn a_child_that_lives_on_does_not_hold_us_up() {
        let began = Instant::now();
        let ended = run(sh("echo here; sleep 20 & exit 0"), LONG).unwrap();
        assert!(ended.succeeded() && ended.tail == ["here"]);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_log_holds_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        for _ in 0..2 {
            let ended =
                run_logged(sh("seq 100; echo last >&2; exit 4"), LONG, &log, || {}).unwrap();
            assert!(!ended.succeeded());
            assert_eq!((ended.tail.len(), ended.tail[14].as_str()), (15, "last"));
            assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 101);
        }
        let mut looks = 0;
        let limit = Duration::from_millis(200);
        let ended = run_logged(sh("echo x; sleep 600"), limit, &log, || looks += 1).unwrap();
        assert!(looks > 1, "{looks}");
        assert_eq!((ended.how, ended.tail), (How::TimedOut(limit), vec!["x".to_owned()]));
    }

    #[test]
    fn a_program_that_is_not_there() {
        let error = run(Command::new("/no/such/program"), LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
