//! `install logs`

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use cutover_formats::node_toml::{Log, Manager, Role};
use cutover_formats::version::Version;
use cutover_terminal::{Exit, Failure, Output, Pieces};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::RootArgs;
use super::without_signals;
use crate::disk::DiskError;
use crate::node::Node;
use crate::placeholders::fill;
use crate::service_log::{Reader, Standing, Wanted, kept};
use crate::situation;

/// How often is looked for more. People do not see that it is not at once.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What of it to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on with what comes, across new files, restarts and other releases, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// How many lines of what is there already, the last; or `all`
    #[arg(long, short = 'n', value_name = "LINES", default_value = "100")]
    pub lines: Wanted,
    /// Only what this release said
    #[arg(long, value_name = "VERSION")]
    pub release: Option<Version>,
}

/// With `--json`, what one line becomes.
#[derive(Serialize)]
struct Line<'a> {
    version: &'a Version,
    line: std::borrow::Cow<'a, str>,
}

/// Why there is no more to show.
enum End {
    /// Nobody reads it any more.
    Unread,
    Failed(Failure),
}

impl From<DiskError> for End {
    fn from(error: DiskError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Shows what the service said; changes nothing.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let mut showing = Showing {
        node: &node,
        only: args.release.as_ref(),
        readers: BTreeMap::new(),
        printer: Printer { output, pieces: output.pieces(), last: None },
    };
    match showing.all(args) {
        Ok(()) | Err(End::Unread) => Ok(()),
        Err(End::Failed(failure)) => Err(failure),
    }
}

/// What is shown of which releases.
struct Showing<'a> {
    node: &'a Node,
    only: Option<&'a Version>,
    readers: BTreeMap<Version, Reader>,
    printer: Printer<'a>,
}

impl Showing<'_> {
    fn all(&mut self, args: &Args) -> Result<(), End> {
        let releases = self.releases()?;
        let goes = Goes::of(self.node, self.only)?;
        match &goes {
            Goes::Elsewhere(failure) if releases.is_empty() || self.only.is_none() => {
                return Err(failure.clone().into());
            }
            Goes::Here if releases.is_empty() && args.follow => {
                self.printer.output.note("nothing was said yet; waiting for it");
            }
            Goes::Here if releases.is_empty() => return Err(self.nothing()?.into()),
            Goes::Manager(note) => self.printer.output.warn(note),
            Goes::Here | Goes::Elsewhere(_) => {}
        }
        for mut reader in self.begin(&releases, args.lines)? {
            self.printer.read(self.node, &mut reader)?;
            if !args.follow {
                self.printer.rest(&mut reader)?;
            }
            self.readers.insert(reader.version().clone(), reader);
        }
        self.printer.flush()?;
        if args.follow { self.follow() } else { Ok(()) }
    }

    /// Whose output is kept: the one that spoke last comes last, but for the release that runs, which does.
    fn releases(&self) -> Result<Vec<Version>, End> {
        let current = self.node.current().map_err(Failure::from)?;
        let kept = kept(&self.node.root)?.into_iter();
        let mut kept: Vec<_> =
            kept.filter(|(version, _)| self.only.is_none_or(|only| only == version)).collect();
        kept.sort_by_key(|(version, said)| (current.as_ref() == Some(version), *said));
        Ok(kept.into_iter().map(|(version, _)| version).collect())
    }

    /// The last lines of all of them together are looked for from the end.
    fn begin(&self, releases: &[Version], lines: Wanted) -> Result<Vec<Reader>, End> {
        let root = &self.node.root;
        let Wanted::Last(mut wanted) = lines else {
            let readers = releases.iter().map(|version| Reader::at_start(root, version));
            return Ok(readers.collect::<Result<_, _>>()?);
        };
        let mut readers = Vec::new();
        for version in releases.iter().rev() {
            let (reader, lines) = Reader::before_end(root, version, wanted)?;
            wanted -= lines;
            readers.push(reader);
        }
        readers.reverse();
        Ok(readers)
    }

    /// Until Ctrl-C, which is how it is meant to end.
    fn follow(&mut self) -> Result<(), End> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(without_signals)?.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).map_err(without_signals)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(without_signals)?;
            loop {
                self.go_on()?;
                tokio::select! {
                    _ = interrupt.recv() => break,
                    _ = terminate.recv() => break,
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
            for reader in self.readers.values_mut() {
                self.printer.rest(reader)?;
            }
            self.printer.flush()
        })
    }

    /// What has come since, also of releases that are new.
    fn go_on(&mut self) -> Result<(), End> {
        for version in self.releases()? {
            if !self.readers.contains_key(&version) {
                let reader = Reader::at_start(&self.node.root, &version)?;
                self.readers.insert(version, reader);
            }
        }
        let mut gone = Vec::new();
        for (version, reader) in &mut self.readers {
            if self.printer.read(self.node, reader)? == Standing::Gone {
                self.printer.rest(reader)?;
                gone.push(version.clone());
            }
        }
        self.readers.retain(|version, _| !gone.contains(version));
        self.printer.flush()
    }

    fn nothing(&self) -> Result<Failure, End> {
        let Some(version) = self.only else {
            let failure = Failure::new(Exit::NotFound, "no service has said anything here yet");
            return Ok(failure.hint("`install status` shows what runs; --follow waits for it"));
        };
        let failure =
            Failure::new(Exit::NotFound, format!("nothing is kept of what {version} said"));
        let others: Vec<String> = kept(&self.node.root)?.keys().map(ToString::to_string).collect();
        Ok(match others.is_empty() {
            true => failure,
            false => failure.hint(format!("there is output of {}", others.join(", "))),
        })
    }
}

/// Writes lines, and says whose they are where that changes.
struct Printer<'a> {
    output: &'a Output,
    pieces: Pieces,
    /// Who said what was written last, and whether that was a whole line.
    last: Option<(Version, bool)>,
}

impl Printer<'_> {
    fn read(&mut self, node: &Node, reader: &mut Reader) -> Result<Standing, End> {
        let version = reader.version().clone();
        reader.read(&node.root, |line| self.line(&version, line))
    }

    fn rest(&mut self, reader: &mut Reader) -> Result<(), End> {
        let version = reader.version().clone();
        reader.rest(|line| self.line(&version, line))
    }

    fn line(&mut self, version: &Version, line: &[u8]) -> Result<(), End> {
        if self.last.as_ref().is_none_or(|(last, _)| last != version) {
            self.change_to(version)?;
        }
        let whole = line.strip_suffix(b"\n");
        let text = whole.unwrap_or(line);
        let value = || Line { version, line: String::from_utf8_lossy(text) };
        self.pieces.put(value, line).map_err(unwritten)?;
        self.last = Some((version.clone(), whole.is_some()));
        Ok(())
    }

    /// On stderr, so that stdout has what services said and nothing else.
    fn change_to(&mut self, version: &Version) -> Result<(), End> {
        if self.last.as_ref().is_some_and(|(_, whole)| !whole) {
            self.pieces.end_line().map_err(unwritten)?;
        }
        self.flush()?;
        self.output.note(format!("==> {version} <=="));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), End> {
        self.pieces.flush().map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> End {
    match error.kind() {
        io::ErrorKind::BrokenPipe => End::Unread,
        _ => End::Failed(Failure::new(Exit::of_io(&error), format!("stdout: {error}"))),
    }
}

/// Where a service's output goes.
enum Goes {
    /// Into the files.
    Here,
    /// A manager has it; what that says itself is in the files.
    Manager(String),
    /// Somewhere else altogether.
    Elsewhere(Failure),
}

impl Goes {
    fn of(node: &Node, only: Option<&Version>) -> Result<Self, Failure> {
        let elsewhere = |message: &str, hint: String| {
            Self::Elsewhere(Failure::new(Exit::NotFound, message).hint(hint))
        };
        let service = &node.settings.service;
        Ok(match (&node.settings.gate, &service.manager, service.log) {
            (None, ..) => elsewhere(
                "this node has no gate, and so no service whose output would be kept",
                "`[gate]` in node.toml makes it have one".to_owned(),
            ),
            (Some(gate), ..) if gate.role == Role::Maintenance => elsewhere(
                "a front end serves here, and keeps its own logs",
                "see where the front end has them".to_owned(),
            ),
            (_, Some(manager), log) => {
                let (who, how) = of_manager(node, manager, only)?;
                match log {
                    Log::Journal(_) => elsewhere(&format!("{who} has the service's output"), how),
                    Log::Files(_) => Self::Manager(format!(
                        "{who} has the service's output: {how}. What {who} was told and said comes here"
                    )),
                }
            }
            (_, None, Log::Journal(_)) => elsewhere(
                "the service's output goes where the gate's own goes: `log = \"journal\"` in node.toml",
                format!("`journalctl -u {} -n 100`, and -f to follow", unit_of_gate(node)),
            ),
            (_, None, Log::Files(_)) => Self::Here,
        })
    }
}

/// The manager's name, and how to see what the service says.
fn of_manager(
    node: &Node,
    manager: &Manager,
    only: Option<&Version>,
) -> Result<(String, String), Failure> {
    let current = node.current()?;
    let version = only.or(current.as_ref()).map_or_else(|| "*".to_owned(), ToString::to_string);
    match manager {
        Manager::Systemd { unit } => {
            let any = || "*".to_owned();
            let prefix = node.root.releases().join(&version).display().to_string();
            let unit = fill(
                unit,
                &[
                    ("version", version),
                    ("root", node.root.path().display().to_string()),
                    ("prefix", prefix),
                    // journalctl takes patterns.
                    ("port", any()),
                    ("listen", any()),
                    ("socket", any()),
                ],
            );
            Ok(("systemd".to_owned(), format!("`journalctl -u '{unit}' -n 100`, and -f to follow")))
        }
        Manager::Command { start, .. } => {
            let who = start.first().map_or("", String::as_str);
            Ok((format!("`{who}`"), "see where that has it go".to_owned()))
        }
    }
}

/// The unit whose process the gate is, or the one that is shipped.
fn unit_of_gate(node: &Node) -> String {
    let shipped = || {
        let name = node.root.path().file_name().unwrap_or_default().display().to_string();
        format!("cutover-gate@{name}.service")
    };
    let pid = || situation::gate(node).ok()??.status().ok().map(|status| status.pid);
    let unit = || {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", pid()?)).ok()?;
        let mut names = groups.lines().filter_map(|line| line.rsplit('/').next());
        names.find(|name| name.ends_with(".service")).map(str::to_owned)
    };
    unit().unwrap_or_else(shipped)
}
