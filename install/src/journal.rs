//! The transaction under way: written before each act, gone when all is done.
//!
//! One JSON object a line, each synced before the act it announces. A torn last line is a line
//! that announced nothing, because its act had not begun. What a journal that was left behind
//! means is decided by [`recovery`], a pure function.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use cutover_formats::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::plan::Stage;
use crate::receipt::Operation;
use crate::root::Root;

/// The first line: what the transaction is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Names the receipt too.
    pub id: String,
    /// Install or rollback.
    pub operation: Operation,
    /// What ran before.
    pub from: Option<Version>,
    /// What shall run.
    pub to: Version,
    /// When it began.
    pub began: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Opening(Opening),
    /// About to do this stage.
    Stage(Stage),
    /// Something failed; about to go back to `from`.
    Back,
}

/// What a journal that was left behind says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What the transaction was.
    pub opening: Opening,
    /// The stages that were begun, in order.
    pub stages: Vec<Stage>,
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
    pub fn open(root: &Root, opening: &Opening) -> Result<Self, DiskError> {
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
        Ok(journal)
    }

    /// Announces a stage.
    pub fn stage(&mut self, stage: Stage) -> Result<(), DiskError> {
        self.append(&Line::Stage(stage))
    }

    /// Announces the way back.
    pub fn back(&mut self) -> Result<(), DiskError> {
        self.append(&Line::Back)
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
                trace = Some(Trace { opening, stages: Vec::new() });
            }
            (Ok(Line::Stage(stage)), Some(trace)) => trace.stages.push(stage),
            (Ok(Line::Back), Some(_)) => {}
            _ => break,
        }
    }
    trace
}

/// What to do about a journal that was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The symlink names the new release: finish what was begun.
    Forward,
    /// The symlink names the old release: remove what was not finished.
    Undo,
}

/// Decides by what runs: the rename of `current` is the only commit point.
#[must_use]
pub fn recovery(trace: &Trace, current: Option<&Version>) -> Recovery {
    if current == Some(&trace.opening.to) && trace.stages.contains(&Stage::Switch) {
        Recovery::Forward
    } else {
        Recovery::Undo
    }
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
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        std::fs::create_dir(root.state()).unwrap();
        assert_eq!(read(&root).unwrap(), None);
        let mut journal = Journal::open(&root, &opening()).unwrap();
        journal.stage(Stage::Fetch).unwrap();
        journal.stage(Stage::Switch).unwrap();
        journal.back().unwrap();
        let trace = read(&root).unwrap().unwrap();
        let expected = Trace { opening: opening(), stages: vec![Stage::Fetch, Stage::Switch] };
        assert_eq!(trace, expected);
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
        let before = Trace { opening: opening(), stages: vec![Stage::Unpack] };
        let after = Trace { opening: opening(), stages: vec![Stage::Unpack, Stage::Switch] };
        assert_eq!(recovery(&before, Some(&old)), Recovery::Undo);
        assert_eq!(recovery(&after, Some(&old)), Recovery::Undo);
        assert_eq!(recovery(&after, Some(&new)), Recovery::Forward);
        assert_eq!(recovery(&after, None), Recovery::Undo);
    }
}
