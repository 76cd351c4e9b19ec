//! `install gate`

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Stdio;
use std::time::Duration;

use cutover_terminal::{Exit, Failure, Verbosity, log_to_stderr};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::RootArgs;
use crate::gate::{self, ControlError, Entrance, Session};
use crate::node::Node;
use crate::root::Root;
use crate::umask;

/// How often it is looked whether the new gate has taken over.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How the gate is started.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take the place of the gate that runs, and go on with its service, without losing a request;
    /// node.toml is read anew
    #[arg(long)]
    replace: bool,
    /// Return when the new gate has taken over, and leave it running
    #[arg(long, requires = "replace")]
    background: bool,
    /// What `--background` starts: leaves its caller's session, and goes on with the log of the gate before
    #[arg(long, requires = "replace", conflicts_with = "background", hide = true)]
    detached: bool,
}

/// Runs the gate until it is told to end, or until another takes its place.
pub fn run(args: &Args, root: &RootArgs) -> Result<(), Failure> {
    let node = root.node()?;
    // The new gate gives it to the service.
    if args.background {
        umask::give_back();
        return replace_in_background(&node);
    }
    if args.detached {
        let left = rustix::process::setsid().map_err(std::io::Error::from);
        let left = left.and_then(|_| std::env::set_current_dir("/"));
        left.map_err(|error| {
            Failure::new(Exit::Unexpected, format!("cannot leave the caller's session: {error}"))
        })?;
    }
    log_to_stderr(Verbosity::Normal);
    let entrance = match args {
        Args { detached: true, .. } => Entrance::ReplaceInBackground,
        Args { replace: true, .. } => Entrance::Replace,
        Args { .. } => Entrance::First,
    };
    Ok(gate::run(&node.root, &node.settings, entrance)?)
}

/// The process of the gate that answers now.
fn pid(root: &Root) -> Result<Option<u32>, ControlError> {
    let Some(mut session) = Session::connect(root)? else { return Ok(None) };
    Ok(Some(session.status()?.pid))
}

/// The variables that the gate of this process was started with; none where they cannot be seen.
fn variables_of(pid: u32) -> Vec<(OsString, OsString)> {
    let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let named = variables.split(|byte| *byte == 0).filter_map(|variable| {
        let at = variable.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&variable[..at], &variable[at + 1..]);
        Some((OsString::from_vec(name.to_owned()), OsString::from_vec(value.to_owned())))
    });
    named.collect()
}

/// Limits as `/proc` names them.
const LIMITS: [(&str, Resource); 16] = [
    ("Max cpu time", Resource::Cpu),
    ("Max file size", Resource::Fsize),
    ("Max data size", Resource::Data),
    ("Max stack size", Resource::Stack),
    ("Max core file size", Resource::Core),
    ("Max resident set", Resource::Rss),
    ("Max processes", Resource::Nproc),
    ("Max open files", Resource::Nofile),
    ("Max locked memory", Resource::Memlock),
    ("Max address space", Resource::As),
    ("Max file locks", Resource::Locks),
    ("Max pending signals", Resource::Sigpending),
    ("Max msgqueue size", Resource::Msgqueue),
    ("Max nice priority", Resource::Nice),
    ("Max realtime priority", Resource::Rtprio),
    ("Max realtime timeout", Resource::Rttime),
];

/// Takes the limits of process `pid`, as far as this one may.
fn take_limits_of(pid: u32) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    for (name, resource) in LIMITS {
        let values = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let mut values = values.split_ascii_whitespace().map(|value| match value {
            "unlimited" => Ok(None),
            value => value.parse().map(Some),
        });
        if let (Some(Ok(current)), Some(Ok(maximum))) = (values.next(), values.next()) {
            let _ = setrlimit(resource, Rlimit { current, maximum });
        }
    }
}

/// A gate that goes on when this process has ended; its errors are this one's. What it keeps is of the
/// gate before: variables, limits, the umask, and where the log goes.
fn replace_in_background(node: &Node) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::of_io(&error), error.to_string());
    let mut command = gate::myself("gate");
    // A gate that cannot be asked is replaced all the same, if it can be.
    let before = pid(&node.root).ok().flatten();
    if let Some(before) = before {
        take_limits_of(before);
    }
    let mut variables = before.map(variables_of).unwrap_or_default();
    if variables.is_empty() {
        variables = std::env::vars_os().collect();
    }
    // A watchdog that is meant for the process of the gate before would not hear this one.
    variables.retain(|(name, _)| !gate::names_a_process(name));
    command.env_clear().envs(variables);
    let mut gate = command
        .args(["--replace", "--detached"])
        .arg("--root")
        .arg(node.root.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed)?;
    loop {
        if let Some(status) = gate.try_wait().map_err(failed)? {
            let exit = status.code().and_then(Exit::of_code).unwrap_or(Exit::Unexpected);
            return Err(Failure::new(exit, format!("the new gate ended ({status})"))
                .hint("its own words are above; the gate that ran goes on"));
        }
        match pid(&node.root) {
            Ok(pid) if pid == Some(gate.id()) => return Ok(()),
            // The gate that ran ends, perhaps in the middle of a word.
            // So does one of another version.
            Ok(_) | Err(ControlError::Lost { .. } | ControlError::OtherVersion { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
