//! The audit: does a prefix still hold exactly what is signed?
//!
//! Every path is looked at and every file hashed again, on all processors. All that is wrong is
//! said at once. What a node may change is left alone: modification times, owners, and the
//! set-group-id bit that folders inherit.

mod inventory;
mod standing;

use std::path::{Path, PathBuf};

use cutover_formats::digest::Digest;
use cutover_formats::filelist::FileList;
use cutover_formats::path::RelPath;
use serde::Serialize;

pub use self::inventory::Inventory;
pub(crate) use self::standing::{CHUNK, hash, in_parallel, walk};
use self::standing::{Standing, compare};
use crate::disk::{DiskError, Folder};

/// One path that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Below the prefix.
    pub path: PathBuf,
    /// What is wrong with it.
    #[serde(flatten)]
    pub problem: Problem,
}

/// How closely a prefix is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Names, kinds, sizes and the targets of links: nothing is read.
    #[default]
    Sizes,
    /// Digests and permission bits as well: everything is read.
    Contents,
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// Nothing is there.
    Missing,
    /// Something is there that should not be. Of a folder, what is in it is not listed.
    Unexpected,
    /// Its contents are others.
    Changed {
        /// What they should be.
        expected: Digest,
        /// What they are.
        found: Digest,
    },
    /// It has another number of bytes.
    WrongSize {
        /// How many it should have.
        expected: u64,
        /// How many it has.
        found: u64,
    },
    /// It cannot be read, or makes no sense.
    Unreadable {
        /// Why.
        why: String,
    },
    /// The interpreter of an environment, which does not run.
    Interpreter {
        /// Why not.
        why: String,
    },
    /// Its permission bits are others.
    WrongMode {
        /// What they should be.
        expected: u32,
        /// What they are.
        found: u32,
    },
    /// It is something else than it should be.
    WrongKind {
        /// In words, e.g. `a file`.
        expected: &'static str,
        /// The same; `something else` is none of these.
        found: &'static str,
    },
    /// It was rendered with other contents, which may hold secrets and are not told by a digest.
    Edited,
    /// It is a link that points elsewhere.
    WrongLink {
        /// Where it should point.
        expected: String,
        /// Where it does.
        found: String,
    },
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::WrongSize { expected, found } => {
                write!(f, "has {found} bytes instead of {expected}")
            }
            Self::Unreadable { why } => write!(f, "cannot be read: {why}"),
            Self::Interpreter { why } => write!(f, "{why}"),
            Self::Unexpected => f.write_str("should not be there"),
            Self::Changed { expected, found } => {
                write!(f, "has contents with sha256 {found} instead of {expected}")
            }
            Self::Edited => f.write_str("has other contents than were rendered"),
            Self::WrongMode { expected, found } => {
                write!(f, "has mode {found:o} instead of {expected:o}")
            }
            Self::WrongKind { expected, found } => write!(f, "is {found}, should be {expected}"),
            Self::WrongLink { expected, found } => {
                write!(f, "links to {found:?} instead of {expected:?}")
            }
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// What of `list` is gone from `prefix` or has become something else, looked at as closely as `depth`
/// says, in the order of paths. What stands beside it is left alone: services write into prefixes, and a
/// file more damages none of those that were signed.
pub fn damage(list: &FileList, prefix: &Path, depth: Depth) -> Result<Vec<Finding>, DiskError> {
    let expected: Vec<(&RelPath, Standing)> =
        list.entries().iter().map(|entry| (&entry.path, Standing::from(&entry.kind))).collect();
    standing::damage(&Folder::open(prefix)?, &expected, depth)
}

/// Everything in `prefix` that is not as `list` says, in the order of paths. What stands at or
/// below the paths in `ignore` is not looked at.
pub fn audit(
    list: &FileList,
    prefix: &Path,
    ignore: &[RelPath],
) -> Result<Vec<Finding>, DiskError> {
    let expected: Vec<(&RelPath, Standing)> = list
        .entries()
        .iter()
        .filter(|entry| !covered(ignore, entry.path.as_str()))
        .map(|entry| (&entry.path, Standing::from(&entry.kind)))
        .collect();
    compare(&Folder::open(prefix)?, None, &expected, ignore)
}

/// Those of `links`, from a path to its target, that are gone from `prefix` or lead elsewhere.
pub fn audit_links(prefix: &Path, links: &[(RelPath, String)]) -> Result<Vec<Finding>, DiskError> {
    let held = Folder::open(prefix)?;
    let mut findings = Vec::new();
    for (path, target) in links {
        let expected = Standing::Link { target: target.clone() };
        let problems = expected.problems(Standing::read(&held, path)?).into_iter();
        findings
            .extend(problems.map(|problem| Finding { path: path.as_path().to_owned(), problem }));
    }
    Ok(findings)
}

/// What should stand at one path, and what is wrong with what does.
#[derive(Clone, Debug, Serialize)]
pub struct Look {
    #[serde(flatten)]
    expected: Standing,
    problems: Vec<Problem>,
}

impl Look {
    /// At a path of a file list; `None` where the list has nothing there.
    pub fn listed(
        list: &FileList,
        prefix: &Path,
        path: &RelPath,
    ) -> Result<Option<Self>, DiskError> {
        let entries = list.entries();
        let Ok(index) = entries.binary_search_by(|entry| entry.path.cmp(path)) else {
            return Ok(None);
        };
        Self::at(prefix, path, Standing::from(&entries[index].kind)).map(Some)
    }

    /// At a path where a link to `target` should be.
    pub fn link(prefix: &Path, path: &RelPath, target: String) -> Result<Self, DiskError> {
        Self::at(prefix, path, Standing::Link { target })
    }

    fn at(prefix: &Path, path: &RelPath, expected: Standing) -> Result<Self, DiskError> {
        let found = Standing::read(&Folder::open(prefix)?, path)?;
        let problems = expected.problems(found);
        Ok(Self { expected, problems })
    }

    /// The same, where more is wrong.
    #[must_use]
    pub fn with(mut self, problems: impl IntoIterator<Item = Problem>) -> Self {
        self.problems.extend(problems);
        self
    }

    /// What is wrong; nothing where it is as it should be.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::fmt::Display for Look {
    /// What should be there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.expected {
            Standing::Folder { mode } => write!(f, "a folder, mode {mode:o}"),
            Standing::File { mode, sha256, .. } => {
                write!(f, "a file, mode {mode:o}, sha256 {sha256}")
            }
            Standing::Link { target } => write!(f, "a link to {target}"),
            Standing::Other => f.write_str("something else than a file, a folder or a link"),
        }
    }
}

/// Whether `path` is one of `paths` or below one.
fn covered(paths: &[RelPath], path: &str) -> bool {
    paths.iter().any(|above| {
        path.strip_prefix(above.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}
