//! From a folder to the list of what is in it, and what is left out of a release.

use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use cutover_formats::path::RelPath;
use cutover_formats::release_toml::ReleaseToml;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::error::SourceError;
use cutover_pack::bundle::{Source, SourceEntry};

/// Version control's own folder, which is never part of a tree.
const GIT: &str = ".git";

/// Everything below `root`, sorted by path. Folders appear only where they are empty: the others
/// follow from what they hold, and vanish with it where all of it is left out.
pub(super) fn walk(root: &Path) -> Result<Vec<SourceEntry>, SourceError> {
    let mut entries = Vec::new();
    let mut folders = vec![None];
    while let Some(folder) = folders.pop() {
        let folder: Option<RelPath> = folder;
        let place = folder.as_ref().map_or(root.to_owned(), |path| root.join(path.as_path()));
        let mut children = 0;
        for child in fs::read_dir(&place).map_err(io_at(&place))? {
            let child = child.map_err(io_at(&place))?;
            children += 1;
            if child.file_name() == GIT {
                continue;
            }
            let path = name(folder.as_ref(), &child)?;
            match entry(&child, &path)? {
                Source::Folder => folders.push(Some(path)),
                kind => entries.push(SourceEntry { path, kind }),
            }
        }
        if let (0, Some(path)) = (children, folder) {
            entries.push(SourceEntry { path, kind: Source::Folder });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
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
#[derive(Debug)]
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
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        ends.into_iter().any(|end| self.0.is_match(&path[..end]))
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
            assert!(exclude.leaves_out(out), "{out}");
        }
        for kept in ["a/tests/b", "tests.py", "md", "docs2/x", "top", "a/top1"] {
            assert!(!exclude.leaves_out(kept), "{kept}");
        }
    }

    #[test]
    fn a_glob_that_is_none() {
        let message = exclude(&["[a"]).unwrap_err().to_string();
        assert!(message.starts_with("release.toml: `exclude` has the glob `[a`: "), "{message}");
    }
}
