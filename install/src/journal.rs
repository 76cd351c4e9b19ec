//! The transaction under way: written before each act, gone when all is done.
//!
//! One JSON object a line, each synced before the act it announces. A torn last line is a line
//! that announced nothing, because its act had not begun. What a journal that was left behind
//! means is decided by [`recovery`], a pure function.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use cutover_formats::name::StageName;
use cutover_formats::stage::BuiltIn;
use cutover_formats::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::plan::Plan;
use crate::receipt::Operation;
use crate::root::Root;

/// The first line: what the transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Names the receipt too.
    pub id: String,
    /// What was asked for.
    pub operation: Operation,
    /// What ran before.
    pub from: Option<Version>,
    /// What shall run.
    pub to: Version,
    /// When it began.
    pub began: Timestamp,
    /// Of an `apply`: the configuration that changes, in the place of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Renewal>,
}

/// The renderings between which an `apply` goes, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// What held before, if anything did.
    pub from: Option<u64>,
    /// What shall hold.
    pub to: u64,
}

/// What the links of the node name: what runs, and the rendering of it that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// What `current` names.
    pub current: Option<Version>,
    /// What `config/<version>/current` names, of the release that was to run.
    pub config: Option<u64>,
}

impl Trace {
    /// Whether the link by which the transaction commits names the new.
    #[must_use]
    pub fn is_switched(&self, links: &Links) -> bool {
        let named = match self.opening.config {
            Some(renewal) => links.config == Some(renewal.to),
            None => links.current.as_ref() == Some(&self.opening.to),
        };
        named && self.stages.contains(&BuiltIn::Switch.name())
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Opening(Opening),
    /// All that it is going to do.
    Plan(Box<Plan>),
    /// About to do this stage.
    Stage(StageName),
    /// Something failed; about to go back to `from`.
    Back,
}

/// What a journal that was left behind says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What the transaction was.
    pub opening: Opening,
    /// What it was going to do; `None` where an older program wrote the journal, or the crash came
    /// before anything was begun.
    pub plan: Option<Plan>,
    /// The stages that were begun, in order.
    pub stages: Vec<StageName>,
    /// Whether it was on the way back.
    pub back: bool,
}

/// A journal being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens the journal of a new transaction. The caller holds the node's lock and has dealt with
    /// any journal that was left behind.
    pub fn open(root: &Root, opening: &Opening, plan: &Plan) -> Result<Self, DiskError> {
        let path = root.journal();
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)
            .map_err(|error| DiskError::new("open", &path, error))?;
        let mut journal = Self { file, path };
        journal.append(&Line::Opening(opening.clone()))?;
        disk::sync_folder(&root.state())?;
        journal.append(&Line::Plan(Box::new(plan.clone())))?;
        Ok(journal)
    }

    /// Goes on with the journal that a crash left behind, after its last whole line.
    pub fn reopen(root: &Root) -> Result<Self, DiskError> {
        let path = root.journal();
        let failed = |error| DiskError::new("open", &path, error);
        let text = std::fs::read(&path).map_err(failed)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let file = File::options().append(true).open(&path).map_err(failed)?;
        file.set_len(whole as u64).map_err(failed)?;
        Ok(Self { file, path })
    }

    /// Announces a stage.
    pub fn stage(&mut self, stage: &StageName) -> Result<(), DiskError> {
        self.append(&Line::Stage(stage.clone()))
    }

    /// Announces the way back, if it can: going back does not wait for a disk that is full or broken,
    /// and [`recovery`] decides without this.
    pub fn back(&mut self) {
        if let Err(error) = self.append(&Line::Back) {
            tracing::warn!(%error, "the way back is not in the journal");
        }
    }

    fn append(&mut self, line: &Line) -> Result<(), DiskError> {
        let mut text = serde_json::to_string(line)
            .map_err(|error| DiskError::new("write", &self.path, error.into()))?;
        text.push('\n');
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|error| DiskError::new("write", &self.path, error))
    }
}

/// Removes a journal whose transaction is over.
pub fn clear(root: &Root) -> Result<(), DiskError> {
    disk::remove_file(&root.journal())?;
    disk::sync_folder(&root.state())
}

/// What a journal that was left behind says; `None` where there is none, or where the crash came
/// before its first line was whole.
pub fn read(root: &Root) -> Result<Option<Trace>, DiskError> {
    let path = root.journal();
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::new("read", &path, error)),
    };
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Option<Trace> {
    let mut trace: Option<Trace> = None;
    for line in text.split(|byte| *byte == b'\n') {
        match (serde_json::from_slice(line), &mut trace) {
            (Ok(Line::Opening(opening)), None) => {
                trace = Some(Trace { opening, plan: None, stages: Vec::new(), back: false });
            }
            (Ok(Line::Plan(plan)), Some(trace)) => trace.plan = Some(*plan),
            (Ok(Line::Stage(stage)), Some(trace)) => trace.stages.push(stage),
            (Ok(Line::Back), Some(trace)) => trace.back = true,
            _ => break,
        }
    }
    trace
}

/// What to do about a journal that was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The symlink names the new: finish what was begun.
    Forward,
    /// The symlink names the old: remove what was not finished.
    Undo,
}

/// Decides by what the links name: the rename of one of them is the only commit point. What was going
/// back already goes on doing so.
#[must_use]
pub fn recovery(trace: &Trace, links: &Links) -> Recovery {
    if trace.is_switched(links) && !trace.back { Recovery::Forward } else { Recovery::Undo }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Opening {
        Opening {
            id: "x".to_owned(),
            operation: Operation::Install,
            from: Some(Version::new(1, 0, 0)),
            to: Version::new(1, 1, 0),
            began: Timestamp::UNIX_EPOCH,
            config: None,
        }
    }

    fn trace(stages: &[BuiltIn]) -> Trace {
        let stages = stages.iter().map(|stage| stage.name()).collect();
        Trace { opening: opening(), plan: None, stages, back: false }
    }

    fn plan() -> Plan {
        let product = "weave".parse().unwrap();
        Plan::unknown(&product, &opening())
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        std::fs::create_dir(root.state()).unwrap();
        assert_eq!(read(&root).unwrap(), None);
        let mut journal = Journal::open(&root, &opening(), &plan()).unwrap();
        journal.stage(&BuiltIn::Fetch.name()).unwrap();
        // What a crash in the middle of a line leaves is not gone on with.
        std::fs::write(
            root.journal(),
            [&std::fs::read(root.journal()).unwrap()[..], b"{\"st"].concat(),
        )
        .unwrap();
        let mut journal = Journal::reopen(&root).unwrap();
        journal.stage(&BuiltIn::Switch.name()).unwrap();
        journal.back();
        let expected =
            Trace { plan: Some(plan()), back: true, ..trace(&[BuiltIn::Fetch, BuiltIn::Switch]) };
        assert_eq!(read(&root).unwrap(), Some(expected));
        clear(&root).unwrap();
        assert_eq!(read(&root).unwrap(), None);
    }

    #[test]
    fn a_torn_line_announced_nothing() {
        let mut text = serde_json::to_vec(&Line::Opening(opening())).unwrap();
        let whole = text.len();
        text.extend_from_slice(b"\n{\"stage\":\"swi");
        assert_eq!(parse(&text).unwrap().stages, vec![]);
        assert_eq!(parse(&text[..whole - 1]), None);
    }

    #[test]
    fn the_rename_decides() {
        let [old, new] = [Version::new(1, 0, 0), Version::new(1, 1, 0)];
        let before = trace(&[BuiltIn::Unpack]);
        let after = trace(&[BuiltIn::Unpack, BuiltIn::Switch]);
        let names = |version: &Version| Links { current: Some(version.clone()), config: None };
        assert_eq!(recovery(&before, &names(&old)), Recovery::Undo);
        assert_eq!(recovery(&after, &names(&old)), Recovery::Undo);
        assert_eq!(recovery(&after, &names(&new)), Recovery::Forward);
        assert_eq!(recovery(&after, &Links::default()), Recovery::Undo);
        assert_eq!(recovery(&Trace { back: true, ..after }, &names(&new)), Recovery::Undo);
    }

    #[test]
    fn of_an_apply_the_rename_of_its_rendering_does() {
        let mut trace = trace(&[BuiltIn::Configure, BuiltIn::Switch]);
        trace.opening.config = Some(Renewal { from: Some(3), to: 4 });
        let names = |config| Links { current: Some(trace.opening.to.clone()), config };
        assert_eq!(recovery(&trace, &names(Some(3))), Recovery::Undo);
        assert_eq!(recovery(&trace, &names(None)), Recovery::Undo);
        assert_eq!(recovery(&trace, &names(Some(4))), Recovery::Forward);
        assert_eq!(
            recovery(&Trace { back: true, ..trace.clone() }, &names(Some(4))),
            Recovery::Undo
        );
    }
}
