//! Whether a folder takes two names for one, as file systems do that ignore case or how characters
//! are composed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{DiskError, Doing as _, Permissions, remove_file, remove_tree, write_file};

/// Where names are tried out in a folder. A crash leaves at most one.
const TRIAL: &str = ".names";

/// The first of `pairs` of file names that is one name in folders below `folder`. Nothing stays there.
pub fn same_name<'a>(
    folder: &Path,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<(&'a str, &'a str)>, DiskError> {
    let trial = trial(folder);
    remove_tree(&trial)?;
    // One that is made here ignores what its parent ignores.
    fs::create_dir(&trial).doing("create", &trial)?;
    let found = try_out(&trial, pairs);
    remove_tree(&trial)?;
    found
}

/// Removes what a crash left of a trial in `folder`.
pub fn sweep_trial(folder: &Path) -> Result<(), DiskError> {
    remove_tree(&trial(folder))
}

fn trial(folder: &Path) -> PathBuf {
    folder.join(TRIAL)
}

fn try_out<'a>(
    trial: &Path,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<(&'a str, &'a str)>, DiskError> {
    for (name, other) in pairs {
        let (place, other_place) = (trial.join(name), trial.join(other));
        write_file(&place, &[], Permissions::Private)?;
        match fs::symlink_metadata(&other_place) {
            Ok(_) => return Ok(Some((name, other))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => remove_file(&place)?,
            Err(source) => return Err(DiskError::new("look for", &other_place, source)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        // What a crash left.
        fs::create_dir(folder.path().join(TRIAL)).unwrap();
        fs::write(folder.path().join(TRIAL).join("A"), "").unwrap();
        let pairs = [("a", "A"), ("caf\u{e9}", "cafe\u{301}")];
        assert_eq!(same_name(folder.path(), pairs).unwrap(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // A folder that has the other name as soon as it has the one is what this looks for.
        fs::write(folder.path().join("B"), "").unwrap();
        let found = try_out(folder.path(), [("a", "A"), ("b", "B"), ("c", "C")]).unwrap();
        assert_eq!(found, Some(("b", "B")));
    }
}
