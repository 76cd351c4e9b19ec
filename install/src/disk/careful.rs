//! Opening a file in a folder that others may write, as that of a service.
//!
//! Whoever may write there could put a link in the place of a file, to have root read or write what they
//! may not. So a link is followed only where root or this process's own user made it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Links in a path, at the most; as many as Linux follows.
const MOST_LINKS: usize = 40;

const HERE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens `path`, following only links that root or this process's user made, in any part of it.
pub fn open_careful(path: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = openat(CWD, ".", HERE | OFlags::DIRECTORY, Mode::empty())?;
    let mut left = parts(path);
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if left.is_empty() {
            match openat(&folder, &part, flags, mode) {
                // A link.
                Err(Errno::LOOP) => {}
                opened => return Ok(File::from(opened?)),
            }
        }
        let found = openat(&folder, &part, HERE, Mode::empty())?;
        let stat = fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            folder = found;
            continue;
        }
        links += 1;
        if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
            return Err(not_followed(&part, stat.st_uid));
        }
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        for part in parts(&target(&found)?).into_iter().rev() {
            left.push_front(part);
        }
    }
    Ok(File::from(openat(&folder, ".", flags, mode)?))
}

/// The names in a path. The root folder is one, and taken for what it is wherever it stands.
fn parts(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter(|part| *part != Component::CurDir);
    named.map(|part| part.as_os_str().to_owned()).collect()
}

fn target(link: &OwnedFd) -> io::Result<PathBuf> {
    let target = readlinkat(link, c"", Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

fn not_followed(link: &OsStr, owner: u32) -> io::Error {
    let text = format!(
        "`{}` is a link that user {owner} made, which is not followed here",
        link.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{lchown, symlink};

    fn read(path: &Path) -> io::Result<String> {
        let mut text = String::new();
        open_careful(path, OFlags::RDONLY, Mode::empty())?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn links_of_root_and_of_this_user_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::write(at("real/file"), "text").unwrap();
        symlink("real", at("folder")).unwrap();
        symlink("../folder/./file", at("real/link")).unwrap();
        symlink(at("real/link"), at("absolute")).unwrap();
        symlink("round", at("round")).unwrap();
        for name in ["real/file", "folder/file", "folder/link", "absolute", "real/../absolute"] {
            assert_eq!(read(&at(name)).unwrap(), "text", "{name}");
        }
        assert!(read(&at("round")).is_err() && read(&at("none")).is_err());
        assert_eq!(read(&at("real/file/x")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        let flags = OFlags::WRONLY | OFlags::CREATE;
        let mut new = open_careful(&at("folder/new"), flags, Mode::RUSR).unwrap();
        new.write_all(b"made").unwrap();
        assert_eq!(read(&at("real/new")).unwrap(), "made");
    }

    #[test]
    fn links_of_others_are_not() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::write(at("real/file"), "text").unwrap();
        symlink("real/file", at("file")).unwrap();
        symlink("real", at("folder")).unwrap();
        for link in ["file", "folder"] {
            lchown(at(link), Some(65534), None).unwrap();
        }
        for name in ["file", "folder/file"] {
            let error = read(&at(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{name}: {error}");
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        assert!(open_careful(&at("file"), flags, Mode::RUSR).is_err());
    }
}
