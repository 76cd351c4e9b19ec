//! Whether a folder takes two names for one, as file systems do that ignore case or how characters
//! are composed.
//!
//! Names are tried out in a folder of their own below it, which its maker holds locked: so whoever sweeps
//! up after a crash leaves those alone that are in use, by a plan beside an install.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{DiskError, Doing as _, Permissions, remove_file, remove_tree, write_file};

/// How the names of such folders begin; the maker's process number follows.
const TRIAL: &str = ".names-";

/// The first of `pairs` of file names that is one name in folders below `folder`. Nothing stays there.
pub fn same_name<'a>(
    folder: &Path,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<(&'a str, &'a str)>, DiskError> {
    let trial = folder.join(format!("{TRIAL}{}", std::process::id()));
    let _held = make(&trial)?;
    let found = try_out(&trial, pairs);
    remove_tree(&trial)?;
    found
}

/// Makes it anew, as one made here ignores what its parent ignores; held until the file is dropped.
fn make(trial: &Path) -> Result<File, DiskError> {
    loop {
        remove_tree(trial)?;
        fs::create_dir(trial).doing("create", trial)?;
        // A sweep may come before it is held.
        let held = match File::open(trial) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            held => held.doing("open", trial)?,
        };
        // Where the file system knows no locks, it is as good without.
        let _ = flock(&held, FlockOperation::LockExclusive);
        let inode = |found: io::Result<fs::Metadata>| found.map(|it| it.ino()).ok();
        if inode(fs::symlink_metadata(trial)) == inode(held.metadata()) {
            return Ok(held);
        }
    }
}

/// Removes what crashes left of trials in `folder`.
pub fn sweep_trials(folder: &Path) -> Result<(), DiskError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.doing("read", folder)?,
    };
    for entry in entries {
        let entry = entry.doing("read", folder)?;
        if entry.file_name().to_string_lossy().starts_with(TRIAL) {
            sweep(&entry.path())?;
        }
    }
    Ok(())
}

fn sweep(trial: &Path) -> Result<(), DiskError> {
    let held = match File::open(trial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        held => held.doing("open", trial)?,
    };
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(()),
        _ => remove_tree(trial),
    }
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
        let at = |name: &str| folder.path().join(format!("{TRIAL}{name}"));
        // What crashes left, and one in use.
        let own = at(&std::process::id().to_string());
        for trial in [&at("1"), &own] {
            fs::create_dir(trial).unwrap();
            fs::write(trial.join("A"), "").unwrap();
        }
        let held = make(&at("2")).unwrap();
        let pairs = [("a", "A"), ("caf\u{e9}", "cafe\u{301}")];
        assert_eq!(same_name(folder.path(), pairs).unwrap(), None);
        assert!(!own.exists() && at("1").exists());
        sweep_trials(folder.path()).unwrap();
        assert!(!at("1").exists() && at("2").exists());
        drop(held);
        sweep_trials(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        sweep_trials(&at("nowhere")).unwrap();
        // A folder that has the other name as soon as it has the one is what this looks for.
        fs::write(folder.path().join("B"), "").unwrap();
        let found = try_out(folder.path(), [("a", "A"), ("b", "B"), ("c", "C")]).unwrap();
        assert_eq!(found, Some(("b", "B")));
    }
}
