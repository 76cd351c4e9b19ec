//! What was withdrawn, as far as this node has ever heard.
//!
//! The marks stand in signed metadata, and trusted metadata can be lost: the folder is made anew, a
//! repository comes back from a backup, a key is stolen and the marks are left out. So every mark that
//! was verified once is also kept in a file of its own, `state/withdrawn/<version>.json`, which nothing
//! removes.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_repository::client::{Remembered, TrustError, Withdrawal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::node::Node;

/// A mark, as it is kept.
#[derive(Serialize, Deserialize)]
struct Mark {
    channel: Channel,
    reason: String,
    /// When this node first saw it.
    seen: Timestamp,
}

/// What is remembered cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The folder of trusted metadata.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Explain for MemoryError {
    fn exit(&self) -> Exit {
        match self {
            Self::Disk(error) => error.exit(),
            Self::Trust(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Disk(error) => error.hints(),
            Self::Trust(error) => error.hints(),
        }
    }
}

/// A release that was withdrawn is not gone back to.
#[derive(Debug, thiserror::Error)]
#[error("{product} {version} was withdrawn from {}: {}", withdrawal.channel, withdrawal.reason)]
pub struct Withdrawn {
    /// The product.
    pub product: Product,
    /// The release.
    pub version: Version,
    /// Where the mark stands, and why.
    pub withdrawal: Withdrawal,
}

impl Explain for Withdrawn {
    fn exit(&self) -> Exit {
        Exit::NotTrusted
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "nothing was changed; `install rollback --to VERSION` goes to another, and `install list` \
             shows what is on this node"
                .to_owned(),
            "`install rollback --accept-withdrawn` goes there all the same".to_owned(),
        ]
    }
}

/// Every release of the node's product that was ever seen to be withdrawn, and what could not be read
/// of that. A mark that cannot be read is a mark all the same.
#[must_use]
pub fn known(node: &Node) -> (BTreeMap<Version, Withdrawal>, Vec<MemoryError>) {
    let (marks, mut problems) = kept(node);
    let mut known = BTreeMap::new();
    match Remembered::read(&node.root.trust()) {
        Ok(remembered) => known.extend(remembered.withdrawals(&node.settings.product)),
        Err(error) => problems.push(error.into()),
    }
    for (version, mark) in marks {
        match mark {
            Some(withdrawal) => drop(known.insert(version, withdrawal)),
            None => drop(known.entry(version).or_insert_with(unreadable)),
        }
    }
    (known, problems)
}

/// Keeps what trusted metadata says now; for who has the node's lock.
pub fn remember(node: &Node) -> Result<(), MemoryError> {
    let (marks, _) = kept(node);
    let now = Timestamp::now();
    for (version, Withdrawal { channel, reason }) in
        Remembered::read(&node.root.trust())?.withdrawals(&node.settings.product)
    {
        if marks.get(&version).is_some_and(Option::is_some) {
            continue;
        }
        disk::ensure_folder(&node.root.all_withdrawn())?;
        let mark = Mark { channel, reason, seen: now };
        disk::write_json(&node.root.withdrawn(&version), &mark)?;
    }
    Ok(())
}

fn unreadable() -> Withdrawal {
    let channel = "unknown".parse().expect("a channel's name");
    let reason = "what this node wrote down of it cannot be read".to_owned();
    Withdrawal { channel, reason }
}

/// The marks that were kept, without what cannot be read.
fn kept(node: &Node) -> (BTreeMap<Version, Option<Withdrawal>>, Vec<MemoryError>) {
    let folder = node.root.all_withdrawn();
    let (mut marks, mut problems) = (BTreeMap::new(), Vec::new());
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return (marks, problems),
        Err(error) => {
            problems.push(DiskError::new("read", &folder, error).into());
            return (marks, problems);
        }
        Ok(entries) => entries,
    };
    for entry in entries {
        let name = match entry {
            Ok(entry) => entry.file_name(),
            Err(error) => {
                problems.push(DiskError::new("read", &folder, error).into());
                break;
            }
        };
        let version = name.to_str().and_then(|name| name.strip_suffix(".json"));
        let Some(version) = version.and_then(|version| version.parse::<Version>().ok()) else {
            continue;
        };
        let mark = disk::read_json::<Mark>(&node.root.withdrawn(&version));
        let mark = match mark {
            Ok(None) => continue,
            Ok(Some(Mark { channel, reason, .. })) => Some(Withdrawal { channel, reason }),
            Err(error) => {
                problems.push(error.into());
                None
            }
        };
        marks.insert(version, mark);
    }
    (marks, problems)
}
