//! Files whose contents decide who may sign and publish: keys, pointers to keys, tokens, the trusted
//! root.
//!
//! Threat: another user of the machine who can write to such a file, or to the folder that it is in,
//! would sign or publish in our name, or have a command run as us. So owner and mode are checked on
//! every read, on the opened file itself, whatever was checked before.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cutover_formats::exit::{Exit, Explain};
use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};
use zeroize::Zeroizing;

use crate::trusted_users::{Objection, TrustedUsers, Writers};

/// Most bytes of such a file.
const LARGEST: u64 = 1 << 20;

/// A file that others than its reader may have written, or that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It is another user's.
    #[error("{} belongs to another user (uid {owner}), who could change it", path.display())]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may write to it.
    #[error("{} can be written to by others (mode {mode:o})", path.display())]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl Explain for PrivateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Owner { .. } | Self::Writable { .. } => Exit::Usage,
            Self::Io { source, .. } => match Exit::of_io(source) {
                Exit::NotFound => Exit::Usage,
                other => other,
            },
        }
    }

    fn hints(&self) -> Vec<String> {
        let path = match self {
            Self::Owner { path, .. } | Self::Writable { path, .. } => path.display(),
            Self::Io { .. } => return Vec::new(),
        };
        let mend = match self {
            Self::Owner { .. } => format!("`chown {}`", geteuid().as_raw()),
            _ => "`chmod go-w`".to_owned(),
        };
        vec![format!(
            "nothing of it was used; make sure that {path} holds what you put there, then {mend} it"
        )]
    }
}

/// What such a file holds.
pub struct PrivateFile {
    /// Its text; wiped from memory when dropped.
    pub text: Zeroizing<String>,
    /// Its permissions.
    pub mode: u32,
}

/// Reads a file of at most 1 MiB that only trusted users can have written.
pub fn read(path: &Path) -> Result<PrivateFile, PrivateError> {
    let failed = |source| PrivateError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = check(path, &file)?;
    let mut text = Zeroizing::new(String::new());
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LARGEST {
        let why = format!("it is larger than {LARGEST} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    Ok(PrivateFile { text, mode })
}

/// Refuses a folder in which others than trusted users can create or replace files; gives its
/// permissions.
pub fn check_folder(path: &Path) -> Result<u32, PrivateError> {
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::DIRECTORY.bits().cast_signed())
        .open(path)
        .map_err(|source| PrivateError::Io { path: path.to_owned(), source })?;
    check(path, &folder)
}

fn check(path: &Path, file: &File) -> Result<u32, PrivateError> {
    let found =
        file.metadata().map_err(|source| PrivateError::Io { path: path.to_owned(), source })?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let path = || path.to_owned();
    match TrustedUsers::of_this_process().objection(owner, mode, Writers::OwnerOnly) {
        None => Ok(mode),
        Some(Objection::Owner(owner)) => Err(PrivateError::Owner { path: path(), owner }),
        Some(Objection::Writable(mode)) => Err(PrivateError::Writable { path: path(), mode }),
    }
}

/// Keeps other programs of the same user from reading this process's memory and environment, and the
/// system from writing them to a core file: it holds keys, passphrases or tokens.
pub fn forbid_dumps() {
    // Only ever refused by a filter on system calls; the program is as useful without.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn files_and_folders_that_others_may_write() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "text").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        for (bits, is_good) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            mode(&file, bits).unwrap();
            assert_eq!(read(&file).is_ok_and(|found| found.mode == bits), is_good, "{bits:o}");
        }
        for (bits, is_good) in [(0o700, true), (0o755, true), (0o770, false), (0o1777, false)] {
            mode(folder.path(), bits).unwrap();
            assert_eq!(check_folder(folder.path()).is_ok(), is_good, "{bits:o}");
        }
        mode(&file, 0o600).unwrap();
        assert!(matches!(check_folder(&file), Err(PrivateError::Io { .. })));
        if geteuid().is_root() && std::env::var_os("SUDO_UID").is_none() {
            chown(&file, Some(65534), None).unwrap();
            assert!(matches!(read(&file), Err(PrivateError::Owner { owner: 65534, .. })));
        }
    }
}
