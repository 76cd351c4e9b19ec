//! Ctrl-C, and being told to end: up to the commit point an install goes back in good order.
//!
//! Without this a signal is as good as a crash: the next command, or `install resume`, ends what it cut
//! off. With it the first signal is a wish, which the transaction looks for between stages and while it
//! waits for a command; the second ends the program at once. A signal is the whole process's, and
//! so is what is remembered of it here.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use cutover_terminal::Output;
use tokio::signal::unix::{SignalKind, signal};

/// No transaction is under way: a signal ends the program.
const IDLE: u8 = 0;
/// One is, and can go back.
const RETURNABLE: u8 = 1;
/// One is going back, or is past the commit point: it comes to its end.
const BOUND: u8 = 2;

static MOMENT: AtomicU8 = AtomicU8::new(IDLE);
static ASKED: AtomicBool = AtomicBool::new(false);

/// What a shell calls a program that SIGINT has ended.
const ENDED_BY_SIGINT: i32 = 130;

/// From now on SIGINT and SIGTERM are wishes, while a transaction is under way.
pub fn heed(output: &Output) -> io::Result<()> {
    let output = output.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(entered);
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                signalled(&output);
            }
        });
    })?;
    Ok(())
}

fn signalled(output: &Output) {
    let again = ASKED.swap(true, Ordering::SeqCst);
    match MOMENT.load(Ordering::SeqCst) {
        RETURNABLE if !again => output.warn(
            "interrupted: going back when the stage that is under way has ended; once more ends this \
             program at once, and `install resume` goes back",
        ),
        BOUND if !again => output.warn(
            "interrupted: what is under way comes to its end first; once more ends this program at \
             once, and `install resume` does the rest",
        ),
        _ => std::process::exit(ENDED_BY_SIGINT),
    }
}

/// Whether a transaction that can go back should.
#[must_use]
pub fn asked() -> bool {
    MOMENT.load(Ordering::SeqCst) == RETURNABLE && ASKED.load(Ordering::SeqCst)
}

/// Waits so long, or until the transaction should go back.
pub fn pause(length: Duration) {
    const LOOK_AGAIN: Duration = Duration::from_millis(50);
    let began = Instant::now();
    while !asked() && began.elapsed() < length {
        std::thread::sleep(LOOK_AGAIN.min(length.saturating_sub(began.elapsed())));
    }
}

/// A transaction under way.
#[derive(Debug)]
pub struct Interruptible(());

impl Interruptible {
    /// It begins, and can go back.
    #[must_use]
    pub fn begin() -> Self {
        MOMENT.store(RETURNABLE, Ordering::SeqCst);
        Self(())
    }

    /// From here on it comes to its end: on the way back, or past the commit point.
    pub fn bind(&self) {
        MOMENT.store(BOUND, Ordering::SeqCst);
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        MOMENT.store(IDLE, Ordering::SeqCst);
    }
}
