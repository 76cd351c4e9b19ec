//! What will be in the bundle, in order, checked before any file is read.

use std::collections::BTreeSet;
use std::path::Path;

use cutover_formats::digest::Digest;
use cutover_formats::filelist::{self, Entry, InvalidFileList, Kind, Member, Shape};
use cutover_formats::path::RelPath;

use super::{Source, SourceEntry};

/// The folders that hold `entries` and are not among them.
pub(super) fn missing_folders(entries: &[SourceEntry]) -> Vec<RelPath> {
    let listed: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let mut missing = BTreeSet::new();
    for entry in entries {
        let mut path = entry.path.as_str();
        while let Some((parent, _)) = path.rsplit_once('/') {
            if listed.contains(parent) || !missing.insert(parent) {
                break;
            }
            path = parent;
        }
    }
    missing.into_iter().map(|path| path.parse().expect("a part of a safe path is safe")).collect()
}

/// The members of a bundle and, for files, where to read them.
pub(super) struct Plan<'a> {
    pub(super) members: Vec<Member<'a>>,
    pub(super) sources: Vec<Option<&'a Path>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        time: u64,
        entries: &'a [SourceEntry],
        folders: &'a [RelPath],
    ) -> Result<Self, InvalidFileList> {
        let implied = folders.iter().map(|path| (Member { path, shape: Shape::Folder }, None));
        let mut all: Vec<_> = entries.iter().map(SourceEntry::planned).chain(implied).collect();
        all.sort_by_key(|(member, _)| member.path);
        let (members, sources): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        filelist::check(time, members.iter().copied())?;
        Ok(Self { members, sources })
    }

    /// The entries of the file list, now that the digests are known.
    pub(super) fn entries(&self, digests: &[Digest]) -> Vec<Entry> {
        let entry = |(member, sha256): (&Member<'_>, &Digest)| Entry {
            path: member.path.clone(),
            kind: match member.shape {
                Shape::Folder => Kind::Folder,
                Shape::File { executable, size } => {
                    Kind::File { executable, size, sha256: *sha256 }
                }
                Shape::Link { target } => Kind::Link { target: target.to_owned() },
            },
        };
        self.members.iter().zip(digests).map(entry).collect()
    }
}

impl SourceEntry {
    fn planned(&self) -> (Member<'_>, Option<&Path>) {
        let (shape, source) = match &self.kind {
            Source::Folder => (Shape::Folder, None),
            Source::File { executable, size, source } => {
                (Shape::File { executable: *executable, size: *size }, Some(source.as_path()))
            }
            Source::Link { target } => (Shape::Link { target }, None),
        };
        (Member { path: &self.path, shape }, source)
    }
}
