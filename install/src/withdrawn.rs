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

/// Every release of the node's product that was ever seen to be withdrawn.
pub fn known(node: &Node) -> Result<BTreeMap<Version, Withdrawal>, MemoryError> {
    let mut known = kept(node)?;
    for (version, withdrawal) in
        Remembered::read(&node.root.trust())?.withdrawals(&node.settings.product)
    {
        known.entry(version).or_insert(withdrawal);
    }
    Ok(known)
}

/// Keeps what trusted metadata says now.
pub fn remember(node: &Node) -> Result<(), MemoryError> {
    let kept = kept(node)?;
    let now = Timestamp::now();
    for (version, Withdrawal { channel, reason }) in
        Remembered::read(&node.root.trust())?.withdrawals(&node.settings.product)
    {
        if kept.contains_key(&version) {
            continue;
        }
        disk::ensure_folder(&node.root.all_withdrawn())?;
        let mark = Mark { channel, reason, seen: now };
        match disk::write_json(&node.root.withdrawn(&version), &mark) {
            // Somebody else, who only looks, writes the same.
            Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {}
            written => written?,
        }
    }
    Ok(())
}

fn kept(node: &Node) -> Result<BTreeMap<Version, Withdrawal>, DiskError> {
    let folder = node.root.all_withdrawn();
    let read = |error| DiskError::new("read", &folder, error);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(read)?,
    };
    let mut kept = BTreeMap::new();
    for entry in entries {
        let name = entry.map_err(read)?.file_name();
        let version = name.to_str().and_then(|name| name.strip_suffix(".json"));
        let Some(version) = version.and_then(|version| version.parse::<Version>().ok()) else {
            continue;
        };
        let mark: Option<Mark> = disk::read_json(&node.root.withdrawn(&version))?;
        if let Some(Mark { channel, reason, .. }) = mark {
            kept.insert(version, Withdrawal { channel, reason });
        }
    }
    Ok(kept)
}
