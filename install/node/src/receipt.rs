//! What an install did, kept for ever: one file each, and one line each in the history.

use std::collections::HashSet;

use cutover_formats::digest::Digest;
use cutover_formats::name::{Product, StageName};
use cutover_formats::stage::{BuiltIn, When};
use cutover_formats::tuf::signed_by::SignedBy;
use cutover_formats::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::plan::Operation;
use crate::root::Root;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Outcome {
    /// The new release runs.
    Done,
    /// An error before the switch: the node is as it was.
    Unchanged {
        /// What went wrong.
        reason: String,
    },
    /// An error after the switch: the node went back by itself.
    SwitchedBack {
        /// What went wrong.
        reason: String,
    },
}

/// How long a stage took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: StageName,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// What was done, in a few words.
    pub what: String,
}

/// A check that held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckPassed {
    /// The stage that it stands at.
    pub stage: StageName,
    /// On which side.
    pub when: When,
    /// What it looked at.
    pub what: String,
}

/// What a swap cost, from `begin` to `finish`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SwapFigures {
    /// Requests that waited.
    pub held: u64,
    /// Requests that got the backoff answer.
    pub refused: u64,
    /// Requests that the service broke off.
    pub failed: u64,
    /// Seconds during which no service answered.
    pub dark: f64,
    /// Seconds that the most patient held request waited.
    pub longest_wait: f64,
}

/// What an install did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Names the receipt; sorts by time.
    pub id: String,
    /// What was asked for.
    pub operation: Operation,
    /// The product.
    pub product: Product,
    /// What ran before.
    pub from: Option<Version>,
    /// What was to run.
    pub to: Version,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What signed metadata promised and the node verified.
    pub descriptor: Option<Digest>,
    /// Who signed that.
    #[serde(default)]
    pub signed_by: Option<SignedBy>,
    /// Bytes that came over the wire for the contents.
    pub fetched: u64,
    /// The stages that were gone through.
    pub stages: Vec<StageTime>,
    /// The checks that were made and held.
    #[serde(default)]
    pub checks: Vec<CheckPassed>,
    /// What could not be tidied up or put on record, and is tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What clients felt; absent where no gate ran.
    pub gate: Option<SwapFigures>,
    /// Whether a crash came in between.
    pub resumed: bool,
}

impl Receipt {
    /// Writes the receipt and its line in the history, durably; the one that counts. Where a crash
    /// came after they were written, the earlier one knows more of an end of the same kind, and stays.
    pub fn keep(&self, root: &Root) -> Result<Self, DiskError> {
        let path = root.receipts().join(format!("{}.json", self.id));
        // What cannot be understood tells nothing.
        let earlier: Option<Self> = disk::read_json(&path).unwrap_or_default();
        let Some(earlier) = earlier.filter(|earlier| earlier.ended_like(self)) else {
            disk::write_json(&path, self)?;
            self.append(root)?;
            return Ok(self.clone());
        };
        let history = history(root)?;
        let last = history.lines().next_back().map(serde_json::from_str::<Self>);
        if !last.is_some_and(|last| last.is_ok_and(|last| last.ended_like(&earlier))) {
            earlier.append(root)?;
        }
        Ok(earlier)
    }

    fn append(&self, root: &Root) -> Result<(), DiskError> {
        let path = root.history();
        let line = serde_json::to_vec(self)
            .map_err(|error| DiskError::new("append to", &path, error.into()))?;
        disk::append_line(&path, &line)
    }

    /// Whether both tell of the same transaction and the same kind of end.
    fn ended_like(&self, other: &Self) -> bool {
        let kind = std::mem::discriminant;
        self.id == other.id && kind(&self.outcome) == kind(&other.outcome)
    }
}

/// What the history tells, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Each install that ended, once: as it ended last.
    pub receipts: Vec<Receipt>,
    /// How many lines cannot be understood: a newer program wrote them, or the disk spoiled them.
    pub unreadable: usize,
}

impl History {
    /// Reads it; nothing where nothing was ever installed.
    pub fn load(root: &Root) -> Result<Self, DiskError> {
        let (mut all, mut known) = (Self::default(), HashSet::new());
        for line in history(root)?.lines().rev() {
            match serde_json::from_str::<Receipt>(line) {
                Ok(receipt) if known.insert(receipt.id.clone()) => all.receipts.push(receipt),
                Ok(_) => {}
                Err(_) => all.unreadable += 1,
            }
        }
        all.receipts.reverse();
        Ok(all)
    }
}

/// How long the site was usually dark in this node's own last swaps, whole seconds, at least one:
/// what clients are told before the next one. `None` where it never was.
pub fn usual_dark(root: &Root) -> Result<Option<u64>, DiskError> {
    let dark = |receipt: &Receipt| Some(receipt.gate.as_ref()?.dark);
    let median = median(root, dark)?;
    let whole = |seconds: f64| std::time::Duration::try_from_secs_f64(seconds.ceil());
    Ok(median.and_then(|seconds| whole(seconds).ok()).map(|length| length.as_secs()))
}

/// How many seconds it usually took on this node to drain and stop what ran. `None` where it never
/// was stopped.
pub fn usual_stop(root: &Root) -> Result<Option<f64>, DiskError> {
    let stops = [BuiltIn::Stop.name(), BuiltIn::Drain.name()];
    let stop = |time: &&StageTime| stops.contains(&time.stage);
    median(root, |receipt| Some(receipt.stages.iter().find(stop)?.seconds))
}

/// The median of a figure in the last receipts in which it is more than nothing.
fn median(root: &Root, figure: impl Fn(&Receipt) -> Option<f64>) -> Result<Option<f64>, DiskError> {
    const SWAPS: usize = 5;
    let text = history(root)?;
    let receipts = text.lines().rev().filter_map(|line| serde_json::from_str::<Receipt>(line).ok());
    let figures = receipts.filter_map(|receipt| figure(&receipt));
    let mut last: Vec<f64> = figures.filter(|figure| *figure > 0.0).take(SWAPS).collect();
    last.sort_by(f64::total_cmp);
    Ok(last.get(last.len() / 2).copied())
}

/// Every install that ended, one line each.
fn history(root: &Root) -> Result<String, DiskError> {
    let path = root.history();
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| DiskError::new("read", &path, error)),
    }
}

/// An identifier for a transaction that begins at `now` and leads to `to`.
#[must_use]
pub fn id(now: Timestamp, to: &Version) -> String {
    format!("{}-{to}", now.strftime("%Y%m%dT%H%M%S%3fZ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_install_that_ended_twice_the_last_end_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_path_buf());
        std::fs::create_dir(root.state()).unwrap();
        let line = |id: &str, fetched: u64| {
            format!(
                "{{\"id\":\"{id}\",\"operation\":\"install\",\"product\":\"tiny\",\"from\":null,\
                 \"to\":\"1.0.0\",\"began\":\"2026-11-28T00:00:00Z\",\
                 \"ended\":\"2026-11-28T00:00:01Z\",\"result\":\"done\",\"descriptor\":null,\
                 \"fetched\":{fetched},\"stages\":[],\"gate\":null,\"resumed\":false}}\n"
            )
        };
        let lines = [line("a", 1), line("b", 2), "torn\n".to_owned(), line("a", 3), line("c", 4)];
        std::fs::write(root.history(), lines.concat()).unwrap();
        let History { receipts, unreadable } = History::load(&root).unwrap();
        let found: Vec<_> =
            receipts.iter().map(|receipt| (receipt.id.as_str(), receipt.fetched)).collect();
        assert_eq!((found, unreadable), (vec![("b", 2), ("a", 3), ("c", 4)], 1));
    }
}
