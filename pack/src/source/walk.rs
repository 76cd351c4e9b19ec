//! From a folder to the list of what is in it, and what is left out of a release.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cutover_formats::path::RelPath;
use cutover_formats::release_toml::ReleaseToml;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::error::SourceError;
use cutover_pack::bundle::{Source, SourceEntry};

/// Folders of version control systems, and git's file in their place: history is not released.
pub(super) const HISTORY: [&str; 5] = [".git", ".hg", ".svn", ".bzr", ".jj"];

/// What is not looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skip<'a> {
    /// Whatever is called so.
    pub(super) names: &'a [&'a str],
    /// These folders, by their real paths.
    pub(super) folders: &'a [PathBuf],
}

/// Everything below `root`, sorted by path. Folders appear only where they are empty: the others
/// follow from what they hold, and vanish with it where all of it is left out. What is excluded may
/// have any name and be of any kind; what cannot be told in a list is left out of this one.
pub(super) fn walk(
    root: &Path,
    exclude: &Exclude,
    skip: Skip<'_>,
) -> Result<Vec<SourceEntry>, SourceError> {
    let mut entries = Vec::new();
    let mut folders = vec![None];
    while let Some(folder) = folders.pop() {
        let folder: Option<RelPath> = folder;
        let place = folder.as_ref().map_or(root.to_owned(), |path| root.join(path.as_path()));
        let excluded = folder.as_ref().is_some_and(|it| exclude.leaves_out(it.as_str().as_bytes()));
        let mut children = 0;
        let listing = match fs::read_dir(&place) {
            Ok(listing) => listing,
            Err(_) if excluded => continue,
            Err(error) => return Err(io_at(&place)(error)),
        };
        for child in listing {
            let child = child.map_err(io_at(&place))?;
            children += 1;
            let skipped = skip.names.iter().any(|name| child.file_name() == *name)
                || skip.folders.contains(&child.path());
            if skipped {
                continue;
            }
            match look(folder.as_ref(), &child) {
                Ok((path, Source::Folder)) => folders.push(Some(path)),
                Ok((path, kind)) => entries.push(SourceEntry { path, kind }),
                Err(_) if exclude.leaves_out(&relative(root, &child)) => {}
                Err(error) => return Err(error),
            }
        }
        if let (0, Some(path)) = (children, folder) {
            entries.push(SourceEntry { path, kind: Source::Folder });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn look(folder: Option<&RelPath>, child: &DirEntry) -> Result<(RelPath, Source), SourceError> {
    let path = name(folder, child)?;
    let kind = entry(child, &path)?;
    Ok((path, kind))
}

/// The path from the top of the tree, whatever it is called.
fn relative(root: &Path, child: &DirEntry) -> Vec<u8> {
    let path = child.path();
    path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().to_vec()
}

fn name(folder: Option<&RelPath>, child: &DirEntry) -> Result<RelPath, SourceError> {
    let name = child.file_name();
    let not_text = || SourceError::PathNotText(child.path().to_string_lossy().into_owned());
    let name = name.to_str().ok_or_else(not_text)?;
    Ok(match folder {
        Some(folder) => folder.join(name)?,
        None => name.parse()?,
    })
}

fn entry(child: &DirEntry, path: &RelPath) -> Result<Source, SourceError> {
    let place = child.path();
    let metadata = child.metadata().map_err(io_at(&place))?;
    if metadata.is_dir() {
        Ok(Source::Folder)
    } else if metadata.is_file() {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        Ok(Source::File { executable, size: metadata.len(), source: place })
    } else if metadata.is_symlink() {
        let target = fs::read_link(&place).map_err(io_at(&place))?;
        let not_text = |_| SourceError::PathNotText(format!("{path} -> {}", target.display()));
        target
            .clone()
            .into_os_string()
            .into_string()
            .map_err(not_text)
            .map(|target| Source::Link { target })
    } else {
        Err(SourceError::Special { path: path.to_string(), kind: special(&metadata) })
    }
}

fn special(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

/// Globs of what is left out of a release.
#[derive(Debug, Default)]
pub(crate) struct Exclude(GlobSet);

impl Exclude {
    /// The globs of `release.toml`.
    pub(crate) fn of(manifest: &ReleaseToml) -> Result<Self, SourceError> {
        let refuse = |glob: &str, error: globset::Error| SourceError::Glob {
            glob: glob.to_owned(),
            why: error.kind().to_string(),
        };
        let mut set = GlobSetBuilder::new();
        for text in &manifest.release.exclude {
            let glob = GlobBuilder::new(text.trim_end_matches('/'))
                .literal_separator(true)
                .build()
                .map_err(|error| refuse(text, error))?;
            set.add(glob);
        }
        set.build().map(Self).map_err(|error| refuse("", error))
    }

    /// Whether a glob matches the path or a folder above it.
    pub(crate) fn leaves_out(&self, path: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut ends = slashes.map(|(end, _)| end).chain([path.len()]);
        ends.any(|end| self.0.is_match(OsStr::from_bytes(&path[..end])))
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exclude(globs: &[&str]) -> Result<Exclude, SourceError> {
        let mut manifest = ReleaseToml::default();
        manifest.release.exclude = globs.iter().map(|&glob| glob.to_owned()).collect();
        Exclude::of(&manifest)
    }

    #[test]
    fn globs() {
        let exclude = exclude(&["tests/**", "**/*.md", "docs/", "top?"]).unwrap();
        for out in ["tests/a", "tests/a/b", "README.md", "a/b/c.md", "docs/x/y", "docs", "top1"] {
            assert!(exclude.leaves_out(out.as_bytes()), "{out}");
        }
        for kept in ["a/tests/b", "tests.py", "md", "docs2/x", "top", "a/top1"] {
            assert!(!exclude.leaves_out(kept.as_bytes()), "{kept}");
        }
    }

    #[test]
    fn a_glob_that_is_none() {
        let message = exclude(&["[a"]).unwrap_err().to_string();
        assert!(message.starts_with("release.toml: `exclude` has the glob `[a`: "), "{message}");
    }
}
