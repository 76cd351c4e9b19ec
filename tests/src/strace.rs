//! Faults at chosen system calls, by `strace`: a program is killed right before a call, stopped
//! there, or told that the call failed.
//!
//! A run of the program under [`sites`] tells which calls it makes; each can then be made the place
//! of a [`Fault`] in a later run. Programs that it starts itself are left alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Every call by which a program changes a disk, or tells another process to do something.
pub const CHANGES: [&str; 25] = [
    "write",
    "pwrite64",
    "writev",
    "copy_file_range",
    "ftruncate",
    "fallocate",
    "open",
    "openat",
    "openat2",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "symlink",
    "symlinkat",
    "fsync",
    "fdatasync",
    "syncfs",
    "sendto",
];

/// A call that a program makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name, e.g. `write`.
    pub call: String,
    /// Which of them, from 1.
    pub nth: usize,
    /// Only calls on this path are counted; otherwise all of the main thread.
    only: Option<String>,
    /// The file or folder that the call's first argument names, where it names one.
    pub file: Option<String>,
}

impl Site {
    /// The same place, where it is the first such call on its file: found again also where a run has more or
    /// fewer calls before it, as those that wake another thread.
    #[must_use]
    pub fn first_of_its_file(self) -> Self {
        Self { nth: 1, only: self.file.clone(), ..self }
    }
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { call, nth, only, file } = self;
        let of = if only.is_some() { " of it" } else { "" };
        write!(f, "{call} {nth}{of} ({})", file.as_deref().unwrap_or("no file"))
    }
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The program gets SIGKILL before it.
    Kill,
    /// The program gets SIGSTOP with it, and stops right after it; see [`stopped_at`].
    Stop,
    /// It fails so, e.g. `ENOSPC`; that once.
    Error(&'static str),
    /// It fails so, and so do all later calls of the name.
    ErrorsFromThen(&'static str),
    /// It is not made, and says that it came to this.
    Lie(i64),
}

/// The calls of these names that `command` makes, in order, from a run to its end.
///
/// # Panics
/// Where `strace` is missing or the run fails.
#[must_use]
pub fn sites(command: &Command, calls: &[&str]) -> Vec<Site> {
    let trace = tempfile::NamedTempFile::new().expect("a scratch file");
    let mut strace = traced(command, calls, trace.path());
    let ran = strace.stdout(Stdio::null()).output().expect("strace is installed");
    let (status, words) = (ran.status, String::from_utf8_lossy(&ran.stderr));
    assert!(status.success(), "{command:?} under strace: {status}\n{words}");
    read(trace.path())
}

/// `command`, with the calls of these names that it makes written to `trace`.
#[must_use]
pub fn traced(command: &Command, calls: &[&str], trace: &Path) -> Command {
    let mut strace = strace(trace);
    strace.args(["-y", "-e", &format!("trace={}", calls.join(","))]);
    like(&mut strace, command);
    strace
}

/// The calls that [`traced`] wrote.
///
/// # Panics
/// Where the file cannot be read.
#[must_use]
pub fn read(trace: &Path) -> Vec<Site> {
    // What is written need not be UTF-8.
    let trace = std::fs::read(trace).expect("strace wrote its trace");
    parse(&String::from_utf8_lossy(&trace))
}

/// `command` with a fault at `site`.
#[must_use]
pub fn with_fault(command: &Command, site: &Site, fault: Fault) -> Command {
    faulty(command, site, fault, Path::new("/dev/null"))
}

/// `command`, which stops right after the call at `site`; `trace` says `stopped by SIGSTOP` then.
#[must_use]
pub fn stopped_at(command: &Command, site: &Site, trace: &Path) -> Command {
    faulty(command, site, Fault::Stop, trace)
}

fn faulty(command: &Command, site: &Site, fault: Fault, trace: &Path) -> Command {
    let Site { call, nth, .. } = site;
    let inject = match fault {
        Fault::Kill => format!("signal=KILL:when={nth}"),
        Fault::Stop => format!("signal=STOP:when={nth}"),
        Fault::Error(error) => format!("error={error}:when={nth}"),
        Fault::ErrorsFromThen(error) => format!("error={error}:when={nth}+"),
        Fault::Lie(value) => format!("retval={value}:when={nth}"),
    };
    let mut strace = strace(trace);
    strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{inject}")]);
    if let Some(only) = &site.only {
        strace.args(["-P", only]);
    }
    like(&mut strace, command);
    strace
}

/// `command` with every one of these calls left out, though it is told that they were made.
#[must_use]
pub fn without(command: &Command, calls: &[&str]) -> Command {
    let mut strace = strace(Path::new("/dev/null"));
    let calls = calls.join(",");
    strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:retval=0")]);
    like(&mut strace, command);
    strace
}

/// `command`, where each process, also of those that it starts, is killed before it gives a file a
/// name for the second time.
#[must_use]
pub fn killed_at_renames(command: &Command) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=rename"]);
    strace.args(["-e", "inject=rename:signal=KILL:when=2"]);
    like(&mut strace, command);
    strace
}

fn strace(output: &Path) -> Command {
    let mut strace = Command::new("strace");
    // Children are let go of as soon as they are programs of their own.
    strace.args(["-f", "--detach-on=execve", "-qq", "-o"]).arg(output);
    strace
}

/// The same program with the same surroundings.
fn like(strace: &mut Command, command: &Command) {
    strace.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        strace.current_dir(folder);
    }
}

/// `strace` counts calls a thread. Those of the main thread come in one order; those of others are
/// told apart by the file that they are about, because which thread takes which is chance.
fn parse(trace: &str) -> Vec<Site> {
    let mut sites = Vec::new();
    let mut counts: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
    let mut main = None;
    for line in trace.lines() {
        let Some((thread, call, arguments)) = split(line) else { continue };
        let file = file(arguments);
        let only = if *main.get_or_insert(thread) == thread { None } else { file.clone() };
        let nth = counts.entry((call.to_owned(), only.clone())).or_default();
        *nth += 1;
        if !["open", "openat"].contains(&call) || arguments.contains("O_CREAT") {
            sites.push(Site { call: call.to_owned(), nth: *nth, only, file });
        }
    }
    sites
}

/// Thread, name and arguments: `2095  fsync(3</srv/x>) = 0`.
fn split(line: &str) -> Option<(&str, &str, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    let (call, arguments) = rest.trim_start().split_once('(')?;
    let named = call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (named && !call.is_empty()).then_some((thread, call, arguments))
}

/// The first whole path, of a descriptor or in quotes; a descriptor's own comes before a name below
/// it, but what the working folder is does not matter.
fn file(arguments: &str) -> Option<String> {
    let mut rest = arguments;
    loop {
        let at = rest.find(['"', '<'])?;
        let (before, opened) = (&rest[..at], &rest[at + 1..]);
        let end = opened.find(if rest[at..].starts_with('"') { '"' } else { '>' })?;
        let path = &opened[..end];
        if path.starts_with('/') && !before.ends_with("AT_FDCWD") {
            return Some(path.to_owned());
        }
        rest = &opened[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_other_threads_are_told_apart_by_file() {
        let trace = "\
7  write(3</n/lock>, \"x\", 1) = 1
7  renameat(AT_FDCWD</tmp>, \"/n/.new\", AT_FDCWD</tmp>, \"/n/new\") = 0
9  openat2(5</n/releases/1>, \"a\", {flags=O_CREAT}, 24) = 6
9  write(6</n/releases/1/a>, \"x\", 1 <unfinished ...>
7  openat(AT_FDCWD</tmp>, \"/n/read\", O_RDONLY) = 8
7  open(\"/n/new\", O_WRONLY|O_CREAT|O_EXCL, 0644) = 8
7  openat(AT_FDCWD</tmp>, \"/n/made\", O_RDWR|O_CREAT) = 8
9  <... write resumed>) = 1
7  symlink(\"releases/1\", \"/n/.current.new\") = 0
7  sendto(4<socket:[35983]>, \"{}\", 2, MSG_NOSIGNAL, NULL, 0) = 2
7  +++ exited with 0 +++
";
        let told: Vec<String> = parse(trace).iter().map(ToString::to_string).collect();
        let expected = [
            "write 1 (/n/lock)",
            "renameat 1 (/n/.new)",
            "openat2 1 of it (/n/releases/1)",
            "write 1 of it (/n/releases/1/a)",
            "open 1 (/n/new)",
            "openat 2 (/n/made)",
            "symlink 1 (/n/.current.new)",
            "sendto 1 (no file)",
        ];
        assert_eq!(told, expected);
    }
}
