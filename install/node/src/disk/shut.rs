//! Taking others' right to write from what programs of others made.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::{DiskError, Doing as _, file_type};

const OTHERS: Mode = Mode::WGRP.union(Mode::WOTH);

/// Takes from a file, or from a folder and all below it, what lets others than the owner write there.
/// Programs of others set such modes themselves, and until they are taken away others may put links
/// there: none is followed. Where nothing is, nothing is done.
pub fn shut(path: &Path) -> Result<(), DiskError> {
    match hold(CWD, path.as_os_str()) {
        Err(Errno::NOENT) => Ok(()),
        held => shut_held(&held.doing("open", path)?, path),
    }
}

/// `shown` is its path for messages.
fn shut_held(held: &OwnedFd, shown: &Path) -> Result<(), DiskError> {
    let found = fstat(held).doing("read", shown)?;
    let kind = file_type(&found);
    if kind != FileType::RegularFile && kind != FileType::Directory {
        return Ok(());
    }
    let mode = Mode::from_raw_mode(found.st_mode);
    if mode.intersects(OTHERS) {
        // What is held is not open, which its mode may forbid; so it is named by its number.
        let held = format!("/proc/self/fd/{}", held.as_raw_fd());
        rustix::fs::chmod(held, mode.difference(OTHERS)).doing("set the mode of", shown)?;
    }
    if kind == FileType::Directory {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = openat(held, ".", flags, Mode::empty()).doing("read", shown)?;
        for entry in Dir::read_from(&open).doing("read", shown)? {
            let entry = entry.doing("read", shown)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                let below = shown.join(name);
                shut_held(&hold(held, name).doing("open", &below)?, &below)?;
            }
        }
    }
    Ok(())
}

fn hold(folder: impl AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn others_may_not_write_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let set = |name: &str, mode| {
            fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        };
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
        fs::create_dir_all(at("env/lib")).unwrap();
        fs::create_dir(at("other")).unwrap();
        for (name, bits) in [("env/lib/open", 0o666), ("env/run", 0o6777), ("other/file", 0o666)] {
            fs::write(at(name), "").unwrap();
            set(name, bits);
        }
        set("env/lib", 0o1777);
        set("other", 0o777);
        symlink("../other", at("env/folder")).unwrap();
        symlink("../other/file", at("env/file")).unwrap();
        shut(&at("env")).unwrap();
        shut(&at("none")).unwrap();
        assert_eq!(
            (mode("env/lib"), mode("env/lib/open"), mode("env/run")),
            (0o1755, 0o644, 0o6755)
        );
        assert_eq!((mode("other"), mode("other/file")), (0o777, 0o666));
        // Neither is one that was put in its place.
        symlink("other", at("gone")).unwrap();
        shut(&at("gone")).unwrap();
        assert_eq!(mode("other"), 0o777);
    }
}
