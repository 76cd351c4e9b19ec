//! A staging folder without version control, read in place.

use std::path::{Path, PathBuf};

use cutover_formats::filelist;

use super::{Forbidden, SourceError};

/// What files are dated where nobody says otherwise: 1980-01-01, the first day that every archive
/// format can hold.
const NO_DATE: u64 = 315_532_800;

/// The real path of the folder, unless something in it must not be released.
pub(super) fn open(dir: &Path, forbidden: &[Forbidden<'_>]) -> Result<PathBuf, SourceError> {
    let folder = dir.canonicalize().ok().filter(|it| it.is_dir());
    let folder = folder.ok_or_else(|| SourceError::NoFolder(dir.to_owned()))?;
    for Forbidden { what, path } in forbidden {
        if real(path).starts_with(&folder) {
            return Err(SourceError::Inside { what, path: path.to_path_buf() });
        }
    }
    Ok(folder)
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
