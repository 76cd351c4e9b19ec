//! Errands: what the gate and a rehearsal send their own program for.
//!
//! A service has to outlive its gate, and may be another user's; no thread can see to that. So whoever
//! starts services starts its own program once more: as the [minder] of a process, as
//! the step that becomes that process, as the [steward] of another manager's
//! service. A program that uses this library therefore begins with [`errand`].

use std::ffi::OsString;
use std::process::ExitCode;

use cutover_terminal::{Exit, Failure, OutputArgs};

use super::{minder, own_program, steward};

/// Does what this program was started for, if that is an errand, and tells how it ended; `None` where
/// the program is to do its own work.
///
/// `main` calls it first, before it looks at its arguments or opens anything: it closes all files that the
/// caller had open, but for the standard streams, what systemd handed over, and what an argument names
/// (`/dev/fd/63`). Without it, no service can be started:
/// `gate::run` and `Installer::rehearse` say so.
///
/// ```
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(ended) = cutover_gate::errand() {
///         return ended;
///     }
///     // What the program is there for.
///     ExitCode::SUCCESS
/// }
/// ```
#[must_use = "a program that was sent on an errand must end with it"]
pub fn errand() -> Option<ExitCode> {
    own_program::goes_on_errands();
    close_inherited();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
    let done = match words[..] {
        ["mind"] => minder::mind(),
        ["enter"] => minder::enter(),
        ["steward", orders] => steward::steward(orders),
        _ => return None,
    };
    let done = done
        .map_err(|error| Failure::new(Exit::Unexpected, format!("install {}: {error}", words[0])));
    Some(cutover_terminal::run(&OutputArgs::default().output(), |_| done))
}

/// Closes what the caller had open beside the standard streams: a gate, a service or a command that kept
/// a lock or a pipe of whoever started an install would keep it for long. What a service manager handed
/// over stays, and what an argument names, as a shell's `<(…)` does.
fn close_inherited() {
    let handed = match env_number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => env_number("LISTEN_FDS").unwrap_or_default(),
        _ => 0,
    };
    let named: Vec<OsString> = std::env::args_os().collect();
    let is_named = |number: u32| {
        ["/dev/fd/", "/proc/self/fd/"].iter().any(|folder| {
            let path = format!("{folder}{number}");
            named.iter().any(|word| word.to_string_lossy().contains(&path))
        })
    };
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number >= 3 + handed && !is_named(*number)) {
        // The folder's own is closed by now.
        let _ = nix::unistd::close(number.cast_signed());
    }
}

fn env_number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}
