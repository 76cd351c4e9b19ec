//! What stands at a path, read from disk and compared with what should.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cutover_formats::digest::Digest;
use cutover_formats::filelist::Kind;
use cutover_formats::path::RelPath;
use rustix::fs::FileType;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Depth, Finding, Problem, covered};
use crate::disk::{DiskError, Folder, file_type};

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 256 << 10;

/// What stands, or should stand, at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Standing {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        /// Bytes; `None` where an older program wrote this down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        sha256: Digest,
    },
    Link {
        target: String,
    },
    Other,
}

impl From<&Kind> for Standing {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Folder => Self::Folder { mode: 0o755 },
            Kind::File { executable, size, sha256 } => Self::File {
                mode: if *executable { 0o755 } else { 0o644 },
                size: Some(*size),
                sha256: *sha256,
            },
            Kind::Link { target } => Self::Link { target: target.clone() },
        }
    }
}

impl Standing {
    fn name(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "a folder",
            Self::File { .. } => "a file",
            Self::Link { .. } => "a link",
            Self::Other => "something else",
        }
    }

    /// What stands at `path`, if anything does.
    pub(super) fn read(prefix: &Folder, path: &RelPath) -> Result<Option<Self>, DiskError> {
        let Some(found) = prefix.look(path)? else { return Ok(None) };
        Ok(Some(match file_type(&found) {
            FileType::Directory => Self::Folder { mode: found.st_mode & 0o5777 },
            FileType::RegularFile => {
                let sha256 = hash(prefix.open_file(path)?).map_err(|source| DiskError {
                    doing: "read",
                    path: prefix.path().join(path.as_path()),
                    source,
                })?;
                let size = u64::try_from(found.st_size).ok();
                Self::File { mode: found.st_mode & 0o7777, size, sha256 }
            }
            FileType::Symlink => {
                let target = prefix.read_link(path)?;
                Self::Link { target: String::from_utf8_lossy(&target).into_owned() }
            }
            _ => Self::Other,
        }))
    }

    /// What is wrong with `found` where this should be.
    pub(super) fn problems(&self, found: Option<Self>) -> Vec<Problem> {
        let Some(found) = found else { return vec![Problem::Missing] };
        let mode =
            |expected, found| (expected != found).then_some(Problem::WrongMode { expected, found });
        match (self, found) {
            (Self::Folder { mode: expected }, Self::Folder { mode: found }) => {
                mode(*expected, found).into_iter().collect()
            }
            (
                Self::File { mode: mode_expected, sha256: expected, .. },
                Self::File { mode: mode_found, sha256: found, .. },
            ) => {
                let expected = *expected;
                let changed = (expected != found).then_some(Problem::Changed { expected, found });
                changed.into_iter().chain(mode(*mode_expected, mode_found)).collect()
            }
            (Self::Link { target: expected }, Self::Link { target: found }) => {
                let expected = expected.clone();
                let wrong = expected != found;
                wrong.then_some(Problem::WrongLink { expected, found }).into_iter().collect()
            }
            (Self::Other, Self::Other) => Vec::new(),
            (expected, found) => {
                vec![Problem::WrongKind { expected: expected.name(), found: found.name() }]
            }
        }
    }

    /// What is wrong at `path`, where this should be, as far as that is seen without reading contents.
    pub(super) fn glance(
        &self,
        prefix: &Folder,
        path: &RelPath,
    ) -> Result<Option<Problem>, DiskError> {
        let Some(stat) = prefix.look(path)? else { return Ok(Some(Problem::Missing)) };
        let size_found = u64::try_from(stat.st_size).unwrap_or_default();
        let found = match (self, file_type(&stat)) {
            (Self::Folder { .. }, FileType::Directory) | (Self::Other, _) => return Ok(None),
            (Self::File { size, .. }, FileType::RegularFile) => {
                let wrong = size.filter(|expected| *expected != size_found);
                return Ok(wrong.map(|expected| Problem::WrongSize { expected, found: size_found }));
            }
            (Self::Link { target }, FileType::Symlink) => {
                let found = String::from_utf8_lossy(&prefix.read_link(path)?).into_owned();
                let expected = target.clone();
                return Ok((expected != found).then_some(Problem::WrongLink { expected, found }));
            }
            (_, FileType::Directory) => "a folder",
            (_, FileType::RegularFile) => "a file",
            (_, FileType::Symlink) => "a link",
            _ => "something else",
        };
        Ok(Some(Problem::WrongKind { expected: self.name(), found }))
    }
}

/// What is gone, or has become something else, of what is `expected`; what stands beside it is not
/// looked at.
pub(super) fn damage(
    prefix: &Folder,
    expected: &[(&RelPath, Standing)],
    depth: Depth,
) -> Result<Vec<Finding>, DiskError> {
    let problems = in_parallel(expected, |(path, expected)| {
        Ok(match depth {
            Depth::Sizes => expected.glance(prefix, path)?.into_iter().collect(),
            Depth::Contents => expected.problems(Standing::read(prefix, path)?),
        })
    })?;
    let mut findings = Vec::new();
    for ((path, _), problems) in expected.iter().zip(problems) {
        let problems: Vec<Problem> = problems;
        findings.extend(
            problems
                .into_iter()
                .map(|problem| Finding { path: path.as_path().to_owned(), problem }),
        );
    }
    findings.sort();
    Ok(findings)
}

/// The digest of what is still to be read of a file.
pub(crate) fn hash(mut file: File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let sha256: [u8; 32] = hash.finalize().into();
    Ok(sha256.into())
}

/// Everything below `top` (or in the whole prefix) that is not as `expected` says.
pub(super) fn compare(
    prefix: &Folder,
    top: Option<&RelPath>,
    expected: &[(&RelPath, Standing)],
    ignore: &[RelPath],
) -> Result<Vec<Finding>, DiskError> {
    let known: HashMap<&Path, &Standing> =
        expected.iter().map(|(path, standing)| (path.as_path(), standing)).collect();
    let mut findings = Vec::new();
    walk(prefix, top, &mut |path, _| {
        let there = known.get(path);
        let ignored = path.to_str().is_some_and(|path| covered(ignore, path));
        if there.is_none() && !ignored {
            findings.push(Finding { path: path.to_owned(), problem: Problem::Unexpected });
        }
        Ok(matches!(there, Some(Standing::Folder { .. })))
    })?;
    let found = in_parallel(expected, |(path, _)| Standing::read(prefix, path))?;
    for ((path, expected), found) in expected.iter().zip(found) {
        let path = path.as_path();
        let problems = expected.problems(found).into_iter();
        findings.extend(problems.map(|problem| Finding { path: path.to_owned(), problem }));
    }
    findings.sort();
    Ok(findings)
}

/// Shows every path below `top` to `visit`, which says whether to go into it. Links are not
/// followed. A folder that is gone (or is none any more) has nothing in it.
pub(crate) fn walk(
    prefix: &Folder,
    top: Option<&RelPath>,
    visit: &mut dyn FnMut(&Path, FileType) -> Result<bool, DiskError>,
) -> Result<(), DiskError> {
    let mut ahead: Vec<Option<RelPath>> = vec![top.cloned()];
    while let Some(folder) = ahead.pop() {
        let names = match prefix.names(folder.as_ref()) {
            Err(error) if is_gone(&error) && folder.is_some() => continue,
            names => names?,
        };
        for (name, kind) in names {
            let path = joined(folder.as_ref(), &name);
            let enter = visit(&path, kind)?;
            let inside = path.to_str().and_then(|path| path.parse().ok());
            if let (true, FileType::Directory, Some(inside)) = (enter, kind, inside) {
                ahead.push(Some(inside));
            }
        }
    }
    Ok(())
}

fn is_gone(error: &DiskError) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    Errno::from_io_error(&error.source).is_some_and(|errno| gone.contains(&errno))
}

fn joined(folder: Option<&RelPath>, name: &OsStr) -> PathBuf {
    folder.map_or_else(PathBuf::new, |folder| folder.as_path().to_owned()).join(name)
}

/// `each` of `items`, on all processors, in the order of the items.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<R, DiskError> + Sync,
) -> Result<Vec<R>, DiskError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, R)>, DiskError> {
        std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed))
            .take_while(|index| *index < items.len())
            .map(|index| Ok((index, each(&items[index])?)))
            .collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut all = Vec::with_capacity(items.len());
    for result in results {
        all.extend(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}
