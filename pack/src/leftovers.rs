//! What programs that `pack` starts leave running.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid,
};

/// How long what was killed has to be gone: one that waits for a disk may take its time.
const GONE: Duration = Duration::from_secs(10);

/// How often a process that was killed is looked for.
const TICK: Duration = Duration::from_millis(5);

/// Runs a program to its end, and kills what it left running: that would write to what is about to be
/// removed, and hold the output of this program open for whoever reads it to its end.
///
/// What it starts stays in the process group, so that Ctrl-C reaches all of it. Processes whose parent
/// has ended become children of this one, whatever session they have put themselves into.
pub(crate) fn run_alone(command: &mut Command) -> io::Result<ExitStatus> {
    set_child_subreaper(Some(getpid()))?;
    let before = children();
    let status = command.status();
    end_children(&before);
    set_child_subreaper(None)?;
    status
}

/// Kills and waits for every child but those in `but`, and then those that it leaves.
fn end_children(but: &HashSet<Pid>) {
    let deadline = Instant::now() + GONE;
    loop {
        let left: Vec<Pid> = children().difference(but).copied().collect();
        // Another user's cannot be killed, and one that waits for a disk is not gone at once.
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        for child in &left {
            // One that has ended is only waited for.
            let _ = kill_process(*child, Signal::KILL);
        }
        let gone = |child: &Pid| matches!(waitpid(Some(*child), WaitOptions::NOHANG), Ok(Some(_)));
        if left.iter().filter(|child| gone(child)).count() == 0 {
            std::thread::sleep(TICK);
        }
    }
}

/// The children of this process.
fn children() -> HashSet<Pid> {
    let own = getpid().as_raw_nonzero().get();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| parent(*pid) == Some(own);
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}
