//! A held folder, and what is done below it: nothing outside is opened or created, whatever stands
//! there or is put there meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::path::RelPath;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{DiskError, Doing as _, Permissions};

/// Every path below a [`Folder`] is resolved so.
const CONFINED: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A held folder; what is done relative to it stays below it.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    umask: Umask,
}

/// Whether the process' umask (or a default ACL) takes bits away from what is created.
///
/// The umask belongs to the whole process, so it is not changed here: a folder is made with all
/// bits that a release uses, and unless all are there then, modes are set after creating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Umask {
    Harmless,
    MayStrip,
}

/// Whether a folder had all bits that a release uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    AllThere,
    WereMissing,
}

impl Folder {
    /// Creates the folder and holds it. It must not exist, or be empty.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        let made = rustix::fs::mkdirat(CWD, path, Permissions::Executable.mode());
        if made != Err(Errno::EXIST) {
            made.doing("create", path)?;
        }
        let mut folder = Self::open(path)?;
        if fs::read_dir(path).doing("read", path)?.next().is_some() {
            return Err(io::Error::from(io::ErrorKind::DirectoryNotEmpty)).doing("create", path);
        }
        let bits = folder.let_others_in()?;
        if made.is_ok() && bits == Bits::AllThere {
            folder.umask = Umask::Harmless;
        }
        Ok(folder)
    }

    /// Gives it the mode of a release's folder, where some of that is missing.
    pub(super) fn let_others_in(&self) -> Result<Bits, DiskError> {
        let wanted = Permissions::Executable;
        let found = rustix::fs::fstat(&self.fd).doing("read", &self.path)?;
        if found.st_mode & wanted.bits() == wanted.bits() {
            return Ok(Bits::AllThere);
        }
        rustix::fs::fchmod(&self.fd, wanted.mode()).doing("set the mode of", &self.path)?;
        Ok(Bits::WereMissing)
    }

    /// Holds a folder that exists. The last component must not be a link.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).doing("open", path)?;
        Ok(Self { fd, path: path.to_owned(), umask: Umask::MayStrip })
    }

    /// Holds a folder that exists, for more to be created in it.
    pub fn reopen(path: &Path) -> Result<Self, DiskError> {
        let folder = Self::open(path)?;
        folder.let_others_in()?;
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file that does not exist yet, open for writing and reading.
    pub fn create_file(&self, path: &RelPath, permissions: Permissions) -> Result<File, DiskError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = self.resolve(path.as_str(), flags, permissions.mode());
        let file = file.doing("create", &self.full(path))?;
        if self.umask == Umask::MayStrip {
            rustix::fs::fchmod(&file, permissions.mode())
                .doing("set the mode of", &self.full(path))?;
        }
        Ok(file.into())
    }

    /// Creates a folder (mode 755) whose parent exists.
    pub fn create_folder(&self, path: &RelPath) -> Result<(), DiskError> {
        let mode = Permissions::Executable.mode();
        let create = || -> rustix::io::Result<()> {
            let parent = self.parent(path)?;
            rustix::fs::mkdirat(&parent, path.file_name(), mode)?;
            if self.umask == Umask::MayStrip {
                rustix::fs::chmodat(&parent, path.file_name(), mode, AtFlags::empty())?;
            }
            Ok(())
        };
        create().doing("create", &self.full(path))
    }

    /// Creates a symbolic link. Where it points to is not looked at.
    pub fn create_link(&self, path: &RelPath, target: &str) -> Result<(), DiskError> {
        self.parent(path)
            .and_then(|parent| rustix::fs::symlinkat(target, parent, path.file_name()))
            .doing("create", &self.full(path))
    }

    /// Opens a regular file for reading; never through a link, and never waiting for a pipe.
    pub fn open_file(&self, path: &RelPath) -> Result<File, DiskError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = self.resolve(path.as_str(), flags, Mode::empty());
        file.map(File::from).doing("open", &self.full(path))
    }

    /// What stands at `path`, links not followed, or `None` where nothing does.
    pub fn look(&self, path: &RelPath) -> Result<Option<Stat>, DiskError> {
        let found = self.parent(path).and_then(|parent| {
            rustix::fs::statat(parent, path.file_name(), AtFlags::SYMLINK_NOFOLLOW)
        });
        match found {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            found => found.map(Some).doing("read", &self.full(path)),
        }
    }

    /// What the link at `path` says.
    pub fn read_link(&self, path: &RelPath) -> Result<Vec<u8>, DiskError> {
        self.parent(path)
            .and_then(|parent| rustix::fs::readlinkat(parent, path.file_name(), Vec::new()))
            .map(std::ffi::CString::into_bytes)
            .doing("read", &self.full(path))
    }

    /// The names in a folder below this one (or, without a path, in this one), in any order, each
    /// with what it names.
    pub fn names(&self, path: Option<&RelPath>) -> Result<Vec<(OsString, FileType)>, DiskError> {
        let full = path.map_or_else(|| self.path.clone(), |path| self.full(path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = self.resolve(path.map_or(".", RelPath::as_str), flags, Mode::empty());
        let fd = fd.doing("read", &full)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd).doing("read", &full)? {
            let entry = entry.doing("read", &full)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                let kind = match entry.file_type() {
                    // Not every file system says so in its folders.
                    FileType::Unknown => {
                        let flags = AtFlags::SYMLINK_NOFOLLOW;
                        file_type(&rustix::fs::statat(&fd, name, flags).doing("read", &full)?)
                    }
                    known => known,
                };
                names.push((name.to_owned(), kind));
            }
        }
        Ok(names)
    }

    /// Writes all that the file system still holds in memory.
    pub fn sync_file_system(&self) -> Result<(), DiskError> {
        rustix::fs::syncfs(&self.fd).doing("write back the file system of", &self.path)
    }

    fn parent(&self, path: &RelPath) -> rustix::io::Result<OwnedFd> {
        match path.parent() {
            Some(parent) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                self.resolve(parent, flags, Mode::empty())
            }
            None => rustix::io::fcntl_dupfd_cloexec(&self.fd, 0),
        }
    }

    fn resolve(&self, path: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat2(self.fd.as_fd(), path, flags, mode, CONFINED)
    }

    /// Where something below it is.
    #[must_use]
    pub fn full(&self, path: &RelPath) -> PathBuf {
        self.path.join(path.as_path())
    }
}

/// Whether what was found is a regular file, a folder or a link.
#[must_use]
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
