//! `install gate`

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use cutover_terminal::{Exit, Failure, Verbosity, log_to_stderr};

use crate::cli::RootArgs;
use crate::gate::{self, ControlError, Entrance, Session};
use crate::node::Node;
use crate::root::Root;

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
}

/// Runs the gate until it is told to end, or until another takes its place.
pub fn run(args: &Args, root: &RootArgs) -> Result<(), Failure> {
    let node = root.node()?;
    if args.background {
        return replace_in_background(&node);
    }
    log_to_stderr(Verbosity::Normal);
    let entrance = if args.replace { Entrance::Replace } else { Entrance::First };
    Ok(gate::run(&node.root, &node.settings, entrance)?)
}

/// The process of the gate that answers now.
fn pid(root: &Root) -> Result<Option<u32>, ControlError> {
    let Some(mut session) = Session::connect(root)? else { return Ok(None) };
    Ok(Some(session.status()?.pid))
}

/// A gate that goes on when this process has ended; its errors are this one's.
fn replace_in_background(node: &Node) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::of_io(&error), error.to_string());
    let mut gate = gate::myself("gate")
        .arg("--replace")
        .arg("--root")
        .arg(node.root.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
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
            Ok(_) | Err(ControlError::Lost { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
