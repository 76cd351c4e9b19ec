//! A clean export: the tar that `git archive` writes, laid out in a temporary folder.
//!
//! Threats: a crafted tree object may hold names that leave the folder or pass through a symlink.
//! Every path is a [`RelPath`]; symlinks are made last, so that no file is written through one;
//! and files are created new, so that no two entries write the same one.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Child;

use cutover_formats::path::RelPath;
use cutover_terminal::Progress;
use tar::{Archive, Entry, EntryType};
use tempfile::TempDir;

use super::error::SourceError;
use super::git::last_line;

/// Lays out what `archive` writes to its stdout, and sees it end well.
pub(super) fn export(mut archive: Child) -> Result<TempDir, SourceError> {
    let what = "export the tag";
    let folder = tempfile::Builder::new().prefix("cutover-export-").tempdir();
    let folder = folder.map_err(io_at(&std::env::temp_dir()))?;
    let stdout = archive.stdout.take().expect("stdout is piped");
    let laid_out = lay_out(stdout, folder.path());
    // Git may still be writing where laying out failed; its pipe is closed, and so it ends.
    let output = archive.wait_with_output().map_err(SourceError::NoGit)?;
    laid_out?;
    if output.status.success() {
        Ok(folder)
    } else {
        Err(SourceError::Git { what, why: last_line(&output.stderr) })
    }
}

fn lay_out(tar: impl Read, folder: &Path) -> Result<(), SourceError> {
    let mut archive = Archive::new(tar);
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    let progress = Progress::counting("exporting the tag");
    for entry in archive.entries().map_err(io_at(folder))? {
        let mut entry = entry.map_err(io_at(folder))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let path = rel_path(&entry)?;
        let place = folder.join(path.as_path());
        match kind {
            EntryType::Directory => fs::create_dir_all(&place).map_err(io_at(&place))?,
            EntryType::Regular | EntryType::Continuous => {
                write(&mut entry, &place).map_err(io_at(&place))?;
                progress.add(entry.size());
            }
            EntryType::Symlink => {
                let target = entry.link_name().map_err(io_at(&place))?.unwrap_or_default();
                links.push((place, target.into_owned()));
            }
            _ => {
                let path = path.to_string();
                return Err(SourceError::Special { path, kind: "of an unknown kind" });
            }
        }
    }
    // What pads the archive's end is read as well: git would die of a pipe that closes before.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(io_at(folder))?;
    links.iter().try_for_each(|(place, target)| {
        make_parent(place).and_then(|()| symlink(target, place)).map_err(io_at(place))
    })
}

fn rel_path(entry: &Entry<'_, impl Read>) -> Result<RelPath, SourceError> {
    let bytes = entry.path_bytes();
    let text = str::from_utf8(&bytes)
        .map_err(|_| SourceError::PathNotText(String::from_utf8_lossy(&bytes).into_owned()))?;
    Ok(text.trim_end_matches('/').parse()?)
}

fn write(entry: &mut Entry<'_, impl Read>, place: &Path) -> io::Result<()> {
    make_parent(place)?;
    let mode = if entry.header().mode()? & 0o100 == 0 { 0o644 } else { 0o755 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(place)?;
    io::copy(entry, &mut file).map(|_| ())
}

fn make_parent(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), fs::create_dir_all)
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { path: path.clone(), source }
}
