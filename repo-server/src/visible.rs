//! What metadata names: the files that readers can get at.

use std::collections::{BTreeMap, BTreeSet};

use cutover_formats::checksums;
use cutover_formats::descriptor::{self, Descriptor};
use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::metadata::Signed;
use cutover_formats::tuf::names;
use cutover_formats::tuf::snapshot::Snapshot;
use cutover_formats::tuf::targets::Targets;
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_repository::client::caps;
use cutover_repository::store::Read;

use crate::name::versioned;

/// The end of the target path of every descriptor.
const DESCRIPTOR: &str = "/release.json";

/// Files that are named.
#[derive(Debug, Default)]
pub(crate) struct Visible {
    /// The newest version of each role, by its name in files: older ones may have been named before.
    versions: BTreeMap<String, u64>,
    files: BTreeSet<String>,
}

/// Something that metadata names cannot be read, so that not all is known.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub(crate) struct Unreadable {
    file: String,
    why: String,
}

impl Unreadable {
    fn new(file: &str, why: impl std::fmt::Display) -> Self {
        Self { file: file.to_owned(), why: why.to_string() }
    }
}

impl Visible {
    /// Everything that the timestamp names. Signatures are not looked at: at worst too much is named.
    pub(crate) fn of(store: &dyn Read) -> Result<Self, Unreadable> {
        let mut visible = Self::default();
        let timestamp: Timestamp = read(store, layout::TIMESTAMP)?;
        let version = timestamp.snapshot.version;
        let snapshot: Snapshot = read(store, &metadata(Snapshot::TYPE, version))?;
        visible.role(Snapshot::TYPE, version);
        for (file, meta) in &snapshot.meta {
            let role = file.strip_suffix(".json").unwrap_or(file);
            visible.role(role, meta.version);
            visible.targets(store, &read(store, &metadata(role, meta.version))?)?;
        }
        Ok(visible)
    }

    /// A version of a role.
    pub(crate) fn role(&mut self, role: &str, version: u64) {
        let file = names::file(role);
        let newest = self.versions.entry(file.trim_end_matches(".json").to_owned()).or_default();
        *newest = version.max(*newest);
    }

    /// What a role names, and what the releases among that bring with them.
    pub(crate) fn targets(&mut self, store: &dyn Read, role: &Targets) -> Result<(), Unreadable> {
        for (path, target) in &role.targets {
            let Some(sha256) = target.hashes.sha256 else { continue };
            let stored = layout::stored(path, sha256);
            if path.starts_with("releases/") && path.ends_with(DESCRIPTOR) {
                let bytes = store.get(&stored, descriptor::LARGEST);
                let bytes = bytes.map_err(|error| Unreadable::new(&stored, error))?;
                let release = Descriptor::parse(&bytes);
                let release = release.map_err(|error| Unreadable::new(&stored, error))?;
                let sums = Digest::of(checksums::of(&release, sha256).as_bytes());
                self.files.extend(layout::stored_beside(&release, sums));
                let vendored = release.vendored.iter();
                self.files
                    .extend(vendored.map(|one| layout::stored(&layout::vendored(one), one.sha256)));
            }
            self.files.insert(stored);
        }
        Ok(())
    }

    /// Whether a file is named, or may have been named before.
    pub(crate) fn has(&self, path: &str) -> bool {
        match path.strip_prefix("metadata/").and_then(versioned) {
            Some((version, role)) => {
                self.versions.get(role).is_some_and(|newest| version <= *newest)
            }
            None => self.files.contains(path),
        }
    }
}

fn read<T: Signed>(store: &dyn Read, path: &str) -> Result<T, Unreadable> {
    let bytes = store.get(path, caps::TARGETS).map_err(|error| Unreadable::new(path, error))?;
    let draft = Draft::from_bytes(&bytes).map_err(|error| Unreadable::new(path, error))?;
    draft.read().map_err(|error| Unreadable::new(path, error))
}

fn metadata(role: &str, version: u64) -> String {
    format!("metadata/{}", names::versioned(role, version))
}
