//! One command, killed in one place after another, each time on a fresh copy of the node.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::aftermath::{Before, served, services, settle};
use crate::strace::{CHANGES, Fault, Site, sites, with_fault};
use crate::world::{NodeDir, Running};

/// Of how many places one is tried: `CUTOVER_STRIDE`, or 24.
#[must_use]
pub fn stride() -> usize {
    std::env::var("CUTOVER_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

/// Every so many of `all`, from another one for each `salt`.
#[must_use]
pub fn sample<T>(all: Vec<T>, salt: usize, count: &mut Count) -> Vec<T> {
    count.places = all.len();
    let stride = stride().max(1);
    all.into_iter().skip(salt % stride).step_by(stride).collect()
}

/// How a run under `strace` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the signal that was meant for it.
    Killed,
    /// The call did not come: it depends on chance or on time.
    Done,
}

/// Runs `command` and kills it at `site`.
///
/// # Panics
/// Where it ends in any other way than by that or by success.
#[track_caller]
pub fn kill_at(command: &Command, site: &Site) -> End {
    let mut strace = with_fault(command, site, Fault::Kill);
    let run = strace.stdin(Stdio::null()).output().expect("strace is installed");
    match run.status.code() {
        Some(0) => End::Done,
        // strace ends itself by the signal that ended the program.
        None => End::Killed,
        Some(other) => {
            panic!("{site}: exit status {other}: {}", String::from_utf8_lossy(&run.stderr))
        }
    }
}

/// `to` becomes a copy of `from`.
///
/// # Panics
/// Where `cp` fails.
pub fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

/// A node that is brought back to what it was before each try.
#[derive(Debug)]
pub struct Trial<'a> {
    /// The node.
    pub node: &'a NodeDir<'a>,
    pristine: PathBuf,
}

impl<'a> Trial<'a> {
    /// Remembers the node as it is; its gate does not run.
    #[must_use]
    pub fn new(node: &'a NodeDir<'a>) -> Self {
        let pristine = node.root.with_extension("pristine");
        copy(&node.root, &pristine);
        Self { node, pristine }
    }

    /// The node as it was, without its gate.
    pub fn restore(&self) {
        copy(&self.pristine, &self.node.root);
    }

    /// The node as it was, with its gate, if it has one, serving what is current, if anything is.
    #[must_use]
    pub fn begin(&self) -> (Option<Running>, Before) {
        self.restore();
        let before = Before::of(self.node);
        let gate = self.node.gate.map(|_| self.node.start_gate());
        if gate.is_some() && before.current.is_some() {
            served(self.node, "before");
        }
        (gate, before)
    }

    /// `install ARGUMENTS` here.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.node.command();
        command.args(arguments);
        command
    }

    /// The calls by which `install ARGUMENTS` changes something here.
    #[must_use]
    pub fn sites(&self, arguments: &[&str]) -> Vec<Site> {
        let (_gate, _) = self.begin();
        sites(&self.command(arguments), &CHANGES)
    }

    /// After whatever happened: old or new, and `install ARGUMENTS` then leads to `to`.
    ///
    /// # Panics
    /// Where anything is not as it must be.
    #[track_caller]
    pub fn end(
        &self,
        gate: Option<Running>,
        before: &Before,
        arguments: &[&str],
        to: &str,
        at: &str,
    ) {
        let node = self.node;
        settle(node, before, to, at);
        let run = node.install(arguments.iter().copied());
        assert_eq!((run.status, node.current().as_deref()), (0, Some(to)), "{at}: again: {run}");
        if let Some(mut gate) = gate {
            served(node, at);
            assert_eq!(gate.end(), Some(0), "{at}: the gate");
            assert_eq!(services(node), Vec::<String>::new(), "{at}: still running");
        }
    }

    /// Kills `install ARGUMENTS` wherever it can be killed; how often it was.
    ///
    /// # Panics
    /// Where the node is not as it must be afterwards.
    pub fn everywhere(&self, arguments: &[&str], to: &str, salt: usize) -> Count {
        let sites = self.sites(arguments);
        let mut count = Count::default();
        for site in sample(sites, salt, &mut count) {
            let (gate, before) = self.begin();
            count.add(kill_at(&self.command(arguments), &site));
            let at = format!("{arguments:?} killed before {site}");
            self.end(gate, &before, arguments, to, &at);
        }
        count
    }
}

/// How often something was killed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Calls at which it could have been.
    pub places: usize,
    /// Calls at which it was.
    pub killed: usize,
    /// Calls that did not come that time.
    pub missed: usize,
}

impl Count {
    /// One more run.
    pub fn add(&mut self, end: End) {
        match end {
            End::Killed => self.killed += 1,
            End::Done => self.missed += 1,
        }
    }

    /// Prints it, and sees that the test has tested something.
    ///
    /// # Panics
    /// Where it has not.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "figures, for whoever runs the test")]
    pub fn report(self, what: &str) {
        println!("{what}: {self}");
        assert!(self.killed * 10 >= self.missed, "{what}: {self}");
        assert!(self.killed * stride() * 2 > self.places, "{what}: {self}");
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { places, killed, missed } = self;
        write!(f, "killed at {killed} of {places} system calls")?;
        if *missed > 0 { write!(f, "; {missed} did not come that time") } else { Ok(()) }
    }
}
