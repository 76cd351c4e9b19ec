//! The transaction under way: written before each act, gone when all is done.
//!
//! One JSON object a line, each synced before the act it announces. The first line has the `format`,
//! `major.minor`: what a later minor version adds may be passed over, and a later major version is
//! refused, as is whatever cannot be understood. Only the last line may be torn: it announced nothing,
//! because its act had not begun. What a journal that was left behind means is decided by [`recovery`],
//! a pure function.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::format::{Format, UnknownFormat};
use cutover_formats::name::StageName;
use cutover_formats::stage::BuiltIn;
use cutover_formats::version::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk::{self, DiskError};
use crate::plan::{Opening, Plan};
use crate::root::Root;

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

/// What is written: the major version is another where an older program would misunderstand it.
const FORMAT: Format = Format { name: "cutover.journal", major: 1, minor: 0 };

/// A journal that was left behind and cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A later program wrote it.
    #[error("{}: {error}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        error: UnknownFormat,
    },
    /// It is damaged, or says what this program does not know.
    #[error("{}, line {line}, cannot be understood: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read or changed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for JournalError {
    fn exit(&self) -> Exit {
        match self {
            Self::Newer { .. } | Self::Unreadable { .. } => Exit::Usage,
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Newer { .. } => vec![
                "an install was cut off, and nothing was changed since; end it with the newer \
                 program that began it: `install resume`"
                    .to_owned(),
            ],
            Self::Unreadable { path, .. } => vec![
                "an install was cut off, and nothing was changed since; where a newer program began \
                 it, end it with that: `install resume`"
                    .to_owned(),
                format!(
                    "else look which release `current` names and whether it serves, move {} aside \
                     and install again",
                    path.display()
                ),
            ],
            Self::Disk(error) => error.hints(),
        }
    }
}

/// The first line, whose format is known before all of it is.
#[derive(Serialize)]
struct First<'a> {
    format: String,
    #[serde(flatten)]
    opening: &'a Opening,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
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
    /// Bytes of whole lines.
    length: u64,
}

impl Journal {
    /// Opens the journal of a new transaction. The caller holds the node's lock and has dealt with
    /// any journal that was left behind.
    pub fn open(root: &Root, opening: &Opening, plan: &Plan) -> Result<Self, DiskError> {
        let mut journal = Self::at(root.journal(), 0)?;
        let first = First { format: FORMAT.to_string(), opening };
        journal.append(&serde_json::json!({ "opening": first }))?;
        disk::sync_folder(&root.state())?;
        journal.plan(plan)?;
        Ok(journal)
    }

    /// Goes on with the journal that a crash left behind, after its last whole line.
    pub fn reopen(root: &Root) -> Result<Self, JournalError> {
        let path = root.journal();
        let text = disk::read(&path)?;
        let (_, whole) = parse(&path, &text)?;
        Ok(Self::at(path, whole as u64)?)
    }

    /// Cut off after `length`.
    fn at(path: PathBuf, length: u64) -> Result<Self, DiskError> {
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| DiskError::new("open", &path, error))?;
        file.set_len(length).map_err(|error| DiskError::new("write", &path, error))?;
        Ok(Self { file, path, length })
    }

    /// Announces all that it is going to do, in the place of what was announced before.
    pub fn plan(&mut self, plan: &Plan) -> Result<(), DiskError> {
        self.append(&Line::Plan(Box::new(plan.clone())))
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

    /// What cannot be written whole is cut back: what is announced next begins a line of its own.
    fn append(&mut self, line: &impl Serialize) -> Result<(), DiskError> {
        let failed = |error| DiskError::new("write", &self.path, error);
        let mut text = serde_json::to_vec(line).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // What matters is why writing failed; a line that stays is a torn one.
            let _ = self.file.set_len(self.length);
        } else {
            self.length += text.len() as u64;
        }
        written.map_err(failed)
    }
}

/// Removes a journal whose transaction is over.
pub fn clear(root: &Root) -> Result<(), DiskError> {
    disk::remove_file(&root.journal())?;
    disk::sync_folder(&root.state())
}

/// What a journal that was left behind says; `None` where there is none, or where the crash came
/// before its first line was whole.
pub fn read(root: &Root) -> Result<Option<Trace>, JournalError> {
    let path = root.journal();
    match std::fs::read(&path) {
        Ok(text) => Ok(parse(&path, &text)?.0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskError::new("read", &path, error).into()),
    }
}

/// What it says, and how many bytes of it are whole lines.
fn parse(path: &Path, text: &[u8]) -> Result<(Option<Trace>, usize), JournalError> {
    let (mut trace, mut whole): (Option<Trace>, usize) = (None, 0);
    let lines = text.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>();
    for (index, line) in lines.iter().enumerate() {
        let unreadable = |why: String| {
            Err(JournalError::Unreadable { path: path.to_owned(), line: index + 1, why })
        };
        let value = match serde_json::from_slice::<Value>(line) {
            Ok(value) if line.ends_with(b"\n") => value,
            // Torn: whatever it was to announce had not begun.
            _ if index + 1 == lines.len() => break,
            Ok(_) => return unreadable("it has no end".to_owned()),
            Err(error) => return unreadable(error.to_string()),
        };
        let understood = match &mut trace {
            None => opening(path, value).map(|opening| {
                trace = Some(Trace { opening, plan: None, stages: Vec::new(), back: false });
            }),
            Some(trace) => {
                serde_json::from_value(value).map_err(Into::into).map(|line| match line {
                    Line::Plan(plan) => trace.plan = Some(*plan),
                    Line::Stage(stage) => trace.stages.push(stage),
                    Line::Back => trace.back = true,
                })
            }
        };
        match understood {
            Ok(()) => whole += line.len(),
            Err(Misunderstood::Newer(error)) => return Err(error),
            Err(Misunderstood::Unknown(why)) => return unreadable(why),
        }
    }
    Ok((trace, whole))
}

/// Why a line that is whole is not understood.
enum Misunderstood {
    Newer(JournalError),
    Unknown(String),
}

impl From<serde_json::Error> for Misunderstood {
    fn from(error: serde_json::Error) -> Self {
        Self::Unknown(error.to_string())
    }
}

/// The first line. Programs that wrote no format wrote the first one.
fn opening(path: &Path, mut line: Value) -> Result<Opening, Misunderstood> {
    let line = line.get_mut("opening").map(Value::take);
    let line = line.ok_or_else(|| Misunderstood::Unknown("it is no first line".to_owned()))?;
    if let Some(format) = line.get("format") {
        let path = path.to_owned();
        FORMAT
            .accept(format.as_str().unwrap_or_default())
            .map_err(|error| Misunderstood::Newer(JournalError::Newer { path, error }))?;
    }
    Ok(serde_json::from_value(line)?)
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
    use jiff::Timestamp;

    use super::*;
    use crate::plan::{ConfigChange, Operation};

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

    fn first_line() -> Vec<u8> {
        let opening = opening();
        let first = First { format: FORMAT.to_string(), opening: &opening };
        let mut line = serde_json::to_vec(&serde_json::json!({ "opening": first })).unwrap();
        line.push(b'\n');
        line
    }

    fn parsed(text: &[u8]) -> Result<(Option<Trace>, usize), JournalError> {
        parse(Path::new("/r/state/journal"), text)
    }

    #[test]
    fn only_the_last_line_may_be_torn() {
        let first = first_line();
        let whole = first.len();
        assert!(parsed(&first[..whole - 1]).unwrap() == (None, 0), "it has no end");
        for torn in [&b"{\"stage\":\"swi"[..], b"\0\0\0\0", b"\0\0\n", b"{\"stage\":\"switch\"}"] {
            let text = [&first, torn].concat();
            let (trace, length) = parsed(&text).unwrap();
            assert_eq!((trace.unwrap().stages, length), (vec![], whole));
            let text = [&text[..], b"\n{\"stage\":\"switch\"}\n"].concat();
            if !torn.starts_with(b"{\"stage\":\"switch") {
                let error = parsed(&text).unwrap_err();
                assert_eq!(error.exit(), Exit::Usage);
                let message = error.to_string();
                assert!(message.contains("/r/state/journal, line 2, cannot"), "{message}");
            }
        }
    }

    #[test]
    fn what_a_newer_program_wrote_is_not_guessed_at() {
        let text = String::from_utf8(first_line()).unwrap();
        let with = |format: &str| parsed(text.replace("cutover.journal/1.0", format).as_bytes());
        assert!(with("cutover.journal/1.7").unwrap().0.is_some(), "additions may be passed over");
        for newer in ["cutover.journal/2.0", "cutover.journal/10.3", "something/1.0", ""] {
            let error = with(newer).unwrap_err();
            assert!(error.to_string().starts_with("/r/state/journal: format"), "{error}");
            assert!(error.hints()[0].contains("newer program"), "{:?}", error.hints());
        }
        let unknown = [text.as_bytes(), b"{\"pause\":7}\n"].concat();
        assert!(matches!(parsed(&unknown), Err(JournalError::Unreadable { line: 2, .. })));
        // As it was before there were formats.
        let old = text.replace("\"format\":\"cutover.journal/1.0\",", "");
        assert!(!old.contains("format") && parsed(old.as_bytes()).unwrap().0.is_some(), "{old}");
    }

    #[test]
    fn what_cannot_be_written_whole_is_cut_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        std::fs::create_dir(root.state()).unwrap();
        let mut journal = Journal::open(&root, &opening(), &plan()).unwrap();
        let before = std::fs::read(root.journal()).unwrap();
        // A file that is open for reading only takes nothing.
        let file = std::mem::replace(&mut journal.file, File::open(root.journal()).unwrap());
        journal.stage(&BuiltIn::Fetch.name()).unwrap_err();
        std::fs::write(root.journal(), [&before[..], b"{\"sta"].concat()).unwrap();
        journal.file = file;
        assert_eq!(journal.length, before.len() as u64);
        drop(journal);
        let mut journal = Journal::reopen(&root).unwrap();
        journal.stage(&BuiltIn::Switch.name()).unwrap();
        let trace = read(&root).unwrap().unwrap();
        assert_eq!(trace.stages, [BuiltIn::Switch.name()]);
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
        trace.opening.config = Some(ConfigChange { from: Some(3), to: 4 });
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
