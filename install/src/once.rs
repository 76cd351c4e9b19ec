//! Stages that run on one node of the fleet only.
//!
//! Where `node.toml` has an `[etcd]`, the fleet agrees there: whoever creates the stage's key runs it
//! while its lease is renewed, everybody else waits for the end of that, and takes over from one that
//! died. What is done for the fleet stays done, whatever becomes of the install that did it, because
//! others build on it. Without etcd this node is the fleet, and its own records are what counts:
//! they outlive the release, and a stage that is taken back is forgotten.

mod fleet;
mod here;

use std::ops::Bound::{Excluded, Included};
use std::time::Duration;

use cutover_etcd::{Etcd, EtcdError};
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::name::{Product, StageName};
use cutover_formats::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::node::{Node, NodeError};

/// What runs once: a stage of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The product.
    pub product: Product,
    /// The release.
    pub version: Version,
    /// The stage.
    pub stage: StageName,
}

/// Who did it, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The node.
    pub node: String,
    /// When it was done.
    pub done: Timestamp,
}

/// How the work went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// It is done.
    Well,
    /// It is not, and somebody else may try.
    Badly,
}

/// Whose turn it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ours: the work was tried.
    Ours,
    /// Nobody's: it was done before.
    Done(Record),
}

/// Sees to it that a stage runs once.
pub trait Once {
    /// Does `work`, unless it is done. Waits at most so long while somebody else is at it.
    fn perform(
        &self,
        key: &Key,
        patience: Duration,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError>;

    /// Does `work`, which takes the stage back, unless the fleet holds it for done.
    fn take_back(
        &self,
        key: &Key,
        patience: Duration,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError>;
}

/// The fleet did not come to terms.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// Somebody takes too long.
    #[error("{node} is at stage `{stage}` since {since}")]
    Busy {
        /// The stage.
        stage: StageName,
        /// Who is at it.
        node: String,
        /// Since when.
        since: Timestamp,
    },
    /// etcd.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// This node's records.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for OnceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Busy { .. } => Exit::Busy,
            Self::Etcd(error) => error.exit(),
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Busy { .. } => vec!["try again when it has come to its end".to_owned()],
            Self::Etcd(error) => error.hints(),
            Self::Disk(error) => error.hints(),
        }
    }
}

/// Where the fleet of `node` agrees.
pub fn open(node: &Node) -> Result<Box<dyn Once>, OnceError> {
    let name = name(node);
    Ok(match &node.settings.etcd {
        None => Box::new(here::Here { root: node.root.clone(), name }),
        Some(settings) => Box::new(fleet::Fleet {
            etcd: Etcd::open(settings, node.root.path(), &disk::read_careful)?,
            name,
        }),
    })
}

/// What an operator should know who goes back to `to`: what ran once for the releases that this goes past
/// stays done. Asks nobody but this node's own records.
pub fn notes(node: &Node, from: Option<&Version>, to: &Version) -> Result<Vec<String>, NodeError> {
    let mut notes = Vec::new();
    let Some(from) = from.filter(|from| *from > to) else { return Ok(notes) };
    for version in node.sealed()?.range((Excluded(to), Included(from))) {
        let stages = node.descriptor(version)?.stages;
        for (stage, _) in stages.iter().filter(|(_, entry)| entry.once == Some(true)) {
            let record = disk::read_json::<Record>(&node.root.once(version, stage))?;
            let what = match record {
                Some(Record { node, done }) => format!("was done by {node} at {done:.0}"),
                None if node.settings.etcd.is_some() => "is done for the fleet".to_owned(),
                None => continue,
            };
            notes.push(format!(
                "`{stage}` of {version} {what}, and going back does not undo it: {to} has to work \
                 with what it left"
            ));
        }
    }
    Ok(notes)
}

/// What this node is called.
fn name(node: &Node) -> String {
    let system = rustix::system::uname();
    format!("{}:{}", system.nodename().to_string_lossy(), node.root.path().display())
}
