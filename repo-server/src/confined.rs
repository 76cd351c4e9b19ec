//! Opening files below the store and nowhere else.
//!
//! Two fences: the request's path is taken apart and refused where it has `..`, hidden names or encoded
//! separators; and the kernel is told to resolve what remains beneath the store's folder without
//! following any symbolic link.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// The path of a request, decoded and confined: no empty, hidden, `.` or `..` component.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Without slashes at either end.
    pub path: Cow<'a, str>,
    /// What it must be.
    pub kind: Kind,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// It ended in a slash.
    Folder,
}

impl<'a> Asked<'a> {
    /// Takes the path of a URL apart; `None` where nothing can be there.
    #[must_use]
    pub fn parse(raw: &'a str) -> Option<Self> {
        if raw == "/" {
            return Some(Self { path: Cow::Borrowed(""), kind: Kind::Folder });
        }
        let raw = raw.strip_prefix('/')?;
        let (raw, kind) = match raw.strip_suffix('/') {
            Some(folder) => (folder, Kind::Folder),
            None => (raw, Kind::File),
        };
        // A slash that was encoded would be one component here and two for the kernel.
        let path = percent_decode_str(raw).decode_utf8().ok()?;
        let same_depth = path.split('/').count() == raw.split('/').count();
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
        let confined = same_depth && path.split('/').all(plain) && !path.contains(char::is_control);
        confined.then_some(Self { path, kind })
    }
}

/// The folder of a repository.
#[derive(Clone)]
pub(crate) struct Confined(Arc<OwnedFd>);

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const FENCE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl Confined {
    /// The folder at `base`; symbolic links on the way *to* it are the operator's.
    pub(crate) fn open(base: &Path) -> io::Result<Self> {
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let confined = Self(Arc::new(openat(CWD, base, folder, Mode::empty())?));
        // Fails now rather than at each request where the kernel or a sandbox has no openat2.
        openat2(&*confined.0, ".", FLAGS, Mode::empty(), FENCE)?;
        Ok(confined)
    }

    /// Opens a file or folder without blocking if the kernel knows the way there, else elsewhere.
    pub(crate) async fn get(&self, path: &str) -> io::Result<File> {
        match openat2(&*self.0, path, FLAGS, Mode::empty(), FENCE | ResolveFlags::CACHED) {
            Ok(file) => Ok(file.into()),
            Err(Errno::AGAIN | Errno::INVAL) => self.get_slowly(path.to_owned()).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn get_slowly(&self, path: String) -> io::Result<File> {
        let this = self.clone();
        let open = move || openat2(&*this.0, path, FLAGS, Mode::empty(), FENCE);
        Ok(tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (raw, path, kind) in [
            ("/", "", Kind::Folder),
            ("/targets/", "targets", Kind::Folder),
            ("/targets/a%20b", "targets/a b", Kind::File),
            ("/metadata/1.root.json", "metadata/1.root.json", Kind::File),
            ("/targets/1.0.0+x", "targets/1.0.0+x", Kind::File),
        ] {
            let path = Cow::Borrowed(path);
            assert_eq!(Asked::parse(raw), Some(Asked { path, kind }), "{raw}");
        }
        for raw in [
            "",
            "*",
            "//",
            "//targets",
            "/targets//x",
            "/targets/../x",
            "/targets/%2e%2e/x",
            "/targets/%2E./x",
            "/targets%2fx",
            "/targets/..%2fx",
            "/.incoming/lock",
            "/targets/.hidden",
            "/targets/%00",
            "/targets/a%0ab",
            "/targets/%ff",
            "/targets/.",
        ] {
            assert_eq!(Asked::parse(raw), None, "{raw}");
        }
    }
}
