//! What an installer that was killed left running: stages of releases, builders of environments, commands
//! of pools, and all that those started.
//!
//! Each program carries the name of its transaction, or of its node's pool, in its environment, and the
//! part of it that it belongs to; and so does whatever it starts itself, in whichever process group. The
//! kernel takes nothing away from them when the installer dies, and neither a number on record nor a name
//! of a folder would tell them from others. What a part started that came to its end runs on purpose.

use std::process::Command;
use std::time::Duration;

use cutover_formats::name::StageName;
use rustix::process::{Pid, Signal, kill_process};

/// Marks every process of a transaction, or of a pool.
const MARK: &str = "CUTOVER_TRANSACTION";

/// Says to which part of that it belongs.
const PART: &str = "CUTOVER_PART";

/// Has `command`, and what it starts, found by [`end`] as a `part` of `id`.
pub fn mark(command: &mut Command, id: &str, part: &str) {
    command.env(MARK, id).env(PART, part);
}

/// What the part is called that a stage's own command is.
#[must_use]
pub fn stage(stage: &StageName) -> String {
    format!("stage-{stage}")
}

/// Kills what was left running of `id` when its installer was killed, but for what the parts started
/// that are `finished`.
pub fn end(id: &str, finished: &[String]) {
    /// Killed processes take a moment to be gone.
    const LOOKS: usize = 250;
    const LOOK_AGAIN: Duration = Duration::from_millis(20);
    for _ in 0..LOOKS {
        let marked = marked(&format!("{MARK}={id}"), finished);
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            // One that is gone by itself needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The processes that have `mark` in their environment and belong to no part that is `finished`. Those of
/// others cannot be looked at, and are none of ours.
fn marked(mark: &str, finished: &[String]) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let spared: Vec<String> = finished.iter().map(|part| format!("{PART}={part}")).collect();
    let has_mark = |process: &std::fs::DirEntry| {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let has = |text: &str| environment.split(|byte| *byte == 0).any(|it| it == text.as_bytes());
        has(mark) && !spared.iter().any(|part| has(part))
    };
    let number = |process: std::fs::DirEntry| process.file_name().to_str()?.parse().ok();
    let marked = processes.flatten().filter(has_mark).filter_map(number);
    let own = rustix::process::getpid();
    marked.filter_map(Pid::from_raw).filter(|pid| *pid != own).collect()
}
