//! What a folder of trusted metadata remembers of its repository, without asking it.
//!
//! For reports only (`install status`), never for decisions: the files were verified when they were
//! stored, and are not verified again here.

use std::fs;
use std::path::Path;

use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::expiry::{days_left, warn_days};
use cutover_formats::tuf::targets::Targets;
use cutover_formats::version::Version;
use jiff::Timestamp;

use super::withdrawn::Withdrawal;
use super::{Folder, TrustError, caps};

/// The roles that were seen last.
#[derive(Debug)]
pub struct Remembered {
    /// By name; of `releases` and its bins only those that were needed.
    pub roles: Vec<RememberedRole>,
    channels: Vec<(Channel, Targets)>,
}

/// One role, as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedRole {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// From then on nodes refuse it.
    pub expires: Timestamp,
}

impl RememberedRole {
    /// Whole days until it expires; negative after that.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        days_left(self.expires, now)
    }

    /// Whether it is time to warn.
    #[must_use]
    pub fn expires_soon(&self, now: Timestamp) -> bool {
        self.days_left(now) < warn_days(&self.name)
    }
}

impl Remembered {
    /// Reads the folder. Files that make no sense are passed over: the next update replaces them.
    pub fn read(trust_dir: &Path) -> Result<Self, TrustError> {
        let local = |source| TrustError::Local { path: trust_dir.to_owned(), source };
        let folder = Folder::open(trust_dir.to_owned())?;
        let mut names = Vec::new();
        for entry in fs::read_dir(trust_dir).map_err(local)? {
            let name = entry.map_err(local)?.file_name();
            names.extend(
                name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned),
            );
        }
        names.sort();
        let (mut roles, mut channels) = (Vec::new(), Vec::new());
        for name in names {
            let Some(bytes) = folder.read(&name, caps::TARGETS)? else { continue };
            let Ok(draft) = Draft::from_bytes(&bytes) else { continue };
            let Ok(head) = draft.head() else { continue };
            let channel = name.strip_prefix("channel-").and_then(|name| name.parse().ok());
            channels.extend(channel.zip(draft.read::<Targets>().ok()));
            roles.push(RememberedRole { name, version: head.version, expires: head.expires });
        }
        Ok(Self { roles, channels })
    }

    /// Every release of a product that was withdrawn, as far as this folder has heard.
    #[must_use]
    pub fn withdrawals(&self, product: &Product) -> Vec<(Version, Withdrawal)> {
        let marks = self.channels.iter().flat_map(|(channel, targets)| {
            targets.targets.iter().map(move |(path, target)| (channel, path, target))
        });
        let marks = marks.filter_map(|(channel, path, target)| {
            let (of, version) = layout::withdrawn_release(channel, path.as_str())?;
            let withdrawal = Withdrawal::new(channel.clone(), target.custom.as_ref());
            (of == *product).then_some((version, withdrawal))
        });
        marks.collect()
    }

    /// Whether a release was withdrawn from a channel, as far as this folder has heard.
    #[must_use]
    pub fn withdrawn(&self, product: &Product, version: &Version) -> Option<Withdrawal> {
        self.channels.iter().find_map(|(channel, targets)| {
            let target = targets.targets.get(&layout::withdrawn(channel, product, version))?;
            Some(Withdrawal::new(channel.clone(), target.custom.as_ref()))
        })
    }
}
