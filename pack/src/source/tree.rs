//! A staging folder without version control, read in place.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::filelist;
use cutover_formats::release_toml;
use cutover_pack::bundle::{Source, SourceEntry};

use super::placeholder::{self, Placeholder};
use super::scratch::Filter;
use super::walk::Exclude;
use super::{Forbidden, SourceError, read_capped};

/// What files are dated where nobody says otherwise: 1980-01-01, the first day that every archive
/// format can hold.
const NO_DATE: u64 = 315_532_800;

/// Refuses what is no folder.
pub(crate) fn refuse_other_than_folder(dir: &Path) -> Result<(), SourceError> {
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(SourceError::NotFolder(dir.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SourceError::NoFolder(dir.to_owned()))
        }
        Err(source) => Err(SourceError::Io { path: dir.to_owned(), source }),
    }
}

/// The real path of a folder.
pub(super) fn open(dir: &Path) -> Result<PathBuf, SourceError> {
    refuse_other_than_folder(dir)?;
    dir.canonicalize().map_err(|source| SourceError::Io { path: dir.to_owned(), source })
}

/// Those of the forbidden folders that lie in the tree and are excluded, by their real paths. One
/// that would be released is refused.
pub(super) fn kept_out(
    folder: &Path,
    forbidden: &[Forbidden<'_>],
    exclude: &Exclude,
) -> Result<Vec<PathBuf>, SourceError> {
    let mut kept_out = Vec::new();
    for Forbidden { what, path } in forbidden {
        let real = real(path);
        let Ok(below) = real.strip_prefix(folder) else { continue };
        let excluded = exclude.leaves_out(below.as_os_str().as_bytes());
        if excluded && !below.as_os_str().is_empty() {
            kept_out.push(real);
        } else if real.exists() {
            return Err(SourceError::Inside { what, path: path.to_path_buf() });
        }
    }
    Ok(kept_out)
}

/// The settings of a folder, if it has any.
pub(super) fn manifest(folder: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    let path = folder.join(release_toml::FILE_NAME);
    let io = |source| SourceError::Io { path: path.clone(), source };
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io(source)),
        Ok(found) if found.is_symlink() => {
            Err(SourceError::ManifestKind { what: "a symbolic link" })
        }
        Ok(found) if found.is_dir() => Err(SourceError::ManifestKind { what: "a folder" }),
        Ok(found) if !found.is_file() => Err(SourceError::ManifestKind { what: "no file" }),
        Ok(_) => read_capped(&path, release_toml::LARGEST).map(Some).map_err(io),
    }
}

/// Refuses what stands in the place of files: a folder without version control has no attributes
/// that could say more.
pub(super) fn refuse_placeholders(
    files: &[SourceEntry],
    exclude: &Exclude,
) -> Result<(), SourceError> {
    let mut found: BTreeMap<&'static str, (Placeholder, Vec<String>)> = BTreeMap::new();
    for file in files.iter().filter(|it| !exclude.leaves_out(it.path.as_str().as_bytes())) {
        let placeholder = match &file.kind {
            Source::Folder => None,
            Source::Link { target } => Placeholder::of_link(target.as_bytes()),
            Source::File { source, .. } => {
                let head = head(source);
                let head =
                    head.map_err(|error| SourceError::Io { path: source.clone(), source: error })?;
                Placeholder::of(&Filter::Unspecified, &head)
            }
        };
        if let Some(placeholder) = placeholder {
            let entry = found.entry(placeholder.what()).or_insert((placeholder, Vec::new()));
            entry.1.push(file.path.to_string());
        }
    }
    match found.into_values().next() {
        None => Ok(()),
        Some((what, paths)) => Err(SourceError::Placeholders { what, paths }),
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(placeholder::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The path without symlinks, also where its end does not exist yet.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = absolute.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match known {
        Some((above, real)) => real.join(absolute.strip_prefix(above).unwrap_or(Path::new(""))),
        None => absolute,
    }
}

/// What files are dated: `SOURCE_DATE_EPOCH`, else a fixed day. Never a file's own time, which
/// differs from machine to machine.
pub(super) fn time(epoch: Option<String>) -> Result<u64, SourceError> {
    match epoch {
        None => Ok(NO_DATE),
        Some(text) => match text.parse() {
            Ok(time) if time <= filelist::LATEST => Ok(time),
            _ => Err(SourceError::Epoch(text)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(time(None).unwrap(), NO_DATE);
        assert_eq!(time(Some("12".into())).unwrap(), 12);
        for bad in ["", "soon", "-1", "99999999999999"] {
            assert!(time(Some(bad.into())).is_err(), "{bad}");
        }
    }
}
