//! Reaching files in a folder that others may write, as that of a service.
//!
//! Whoever may write there could put a link in the place of a file, to have root read or write what they
//! may not, or tell whether it is there. So a link is followed only where a trusted user made it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use cutover_repository::trusted_users::TrustedUsers;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;

/// Links in a path, at the most; as many as Linux follows.
const MOST_LINKS: usize = 40;

const HERE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A link on the way that is not followed.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is a link that user {owner} made, which is not followed here", link.display())]
struct OthersLink {
    link: OsString,
    owner: u32,
}

/// Opens `path`, following only links that trusted users made, in any part of it. With
/// [`OFlags::PATH`] it is only looked at.
pub fn open_careful(path: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let trusted = TrustedUsers::of_this_process();
    let mut folder = openat(CWD, ".", HERE | OFlags::DIRECTORY, Mode::empty())?;
    let mut left = parts(path);
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if left.is_empty() && !flags.contains(OFlags::PATH) {
            match openat(&folder, &part, flags, mode) {
                // A link.
                Err(Errno::LOOP) => {}
                opened => return Ok(File::from(opened?)),
            }
        }
        let found = openat(&folder, &part, HERE, Mode::empty())?;
        let stat = fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            if left.is_empty() && flags.contains(OFlags::PATH) {
                return Ok(File::from(found));
            }
            folder = found;
            continue;
        }
        links += 1;
        if !trusted.include(stat.st_uid) {
            return Err(others_link(&part, stat.st_uid));
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

fn others_link(link: &OsStr, owner: u32) -> io::Error {
    let why = OthersLink { link: link.to_owned(), owner };
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// Opens a regular file for reading, as [`open_careful`] does; a pipe is not waited for.
pub fn open_file_careful(path: &Path) -> io::Result<File> {
    let file = open_careful(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// What a regular file holds, reached as [`open_careful`] does.
pub fn read_careful(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file_careful(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether something stands at `path`. A link on the way that is not followed stands there itself: what
/// it leads to is told to nobody.
#[must_use]
pub fn stands(path: &Path) -> bool {
    match open_careful(path, OFlags::PATH, Mode::empty()) {
        Ok(_) => true,
        Err(error) => error.get_ref().is_some_and(|why| why.is::<OthersLink>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::{lchown, symlink};

    use rustix::process::geteuid;

    fn read(path: &Path) -> io::Result<String> {
        let mut text = String::new();
        open_careful(path, OFlags::RDONLY, Mode::empty())?.read_to_string(&mut text)?;
        let seen = open_careful(path, OFlags::PATH, Mode::empty())?;
        assert_eq!(seen.metadata()?.len(), text.len() as u64);
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
        assert!(stands(&at("folder/link")) && stands(&at("folder")) && stands(folder.path()));
        assert!(!stands(&at("round")) && !stands(&at("none/file")) && !stands(&at("folder/none")));
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
        // Whether there is what they lead to is told to nobody.
        assert!(stands(&at("file")) && stands(&at("folder/none")));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        assert!(open_careful(&at("file"), flags, Mode::RUSR).is_err());
    }
}
