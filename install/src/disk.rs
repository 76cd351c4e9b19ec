//! The disk: the one module of `install` that creates, renames and removes.
//!
//! Below a prefix, everything is done relative to a held [`Folder`]. Every path is resolved by the
//! kernel with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`, so that whatever
//! stands there, or is put there meanwhile, nothing outside is opened or created. Elsewhere in the
//! node's root, files are replaced whole: a temporary beside it, `fsync`, `rename`, `fsync` of the
//! folder. After a power cut there is the old file or the new one.

mod lines;
mod usage;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::path::RelPath;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use lines::append_line;
pub use usage::{free_space, taken};

/// A path that the disk would not do something with.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct DiskError {
    /// What was tried, e.g. `create`.
    pub doing: &'static str,
    /// With which path.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl DiskError {
    /// `source` came of `doing` something with `path`.
    #[must_use]
    pub fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self { doing, path: path.to_owned(), source }
    }
}

impl Explain for DiskError {
    fn exit(&self) -> Exit {
        Exit::of_io(&self.source)
    }

    fn hints(&self) -> Vec<String> {
        match self.exit() {
            Exit::NoSpace => vec![
                "free some space (`install prune` removes old releases), then try again".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|error| DiskError { doing, path: path.to_owned(), source: error.into() })
    }
}

/// Permission bits of what is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// 600, for what only the node itself should read.
    Private,
    /// 640, for what its group may read as well.
    Shared,
    /// 644.
    Plain,
    /// 755.
    Executable,
}

impl Permissions {
    /// As the system counts them.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Shared => 0o640,
            Self::Plain => 0o644,
            Self::Executable => 0o755,
        }
    }

    fn mode(self) -> Mode {
        Mode::from_raw_mode(self.bits())
    }
}

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
enum Bits {
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
    fn let_others_in(&self) -> Result<Bits, DiskError> {
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

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file that does not exist yet, open for writing.
    pub fn create_file(&self, path: &RelPath, permissions: Permissions) -> Result<File, DiskError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
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

    fn full(&self, path: &RelPath) -> PathBuf {
        self.path.join(path.as_path())
    }
}

/// Whether what was found is a regular file, a folder or a link.
#[must_use]
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Makes a folder and those above it, durably. One that exists is fine.
pub fn ensure_folder(path: &Path) -> Result<(), DiskError> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    ensure_folder(above)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.doing("create", path),
    }?;
    sync_folder(above)
}

/// The same for a folder that a service has to look into, whatever the umask says.
pub fn ensure_open_folder(path: &Path) -> Result<(), DiskError> {
    ensure_folder(path)?;
    Folder::open(path)?.let_others_in().map(drop)
}

/// Replaces a file whole, or creates it: after a power cut there is the old one or the new one.
pub fn write_file(path: &Path, bytes: &[u8], permissions: Permissions) -> Result<(), DiskError> {
    let temporary = temporary_of(path);
    remove_file(&temporary)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::open(&temporary, flags, permissions.mode()).doing("create", &temporary)?;
    let mut file = File::from(fd);
    let written = rustix::fs::fchmod(&file, permissions.mode())
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .doing("write", path);
    match written {
        Ok(()) => rename(&temporary, path),
        Err(error) => {
            // What matters is why writing failed; a temporary that stays is overwritten next time.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Opens a download that may have been begun before, for reading what is there and writing on.
/// What it holds is not durable: it is hashed again whenever it is used. A link in its place is not
/// followed: it may lie in a folder that others can write to.
pub fn open_download(path: &Path) -> Result<File, DiskError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::open(path, flags, mode).map(File::from).doing("open", path)
}

/// Gives a file a second name, which is free. Not every file system can.
pub fn name_also(path: &Path, also: &Path) -> Result<(), DiskError> {
    fs::hard_link(path, also).doing("create", also)
}

/// Replaces a file whole with `value` as JSON, or creates it.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(io::Error::from).doing("write", path)?;
    bytes.push(b'\n');
    write_file(path, &bytes, Permissions::Plain)
}

/// What a JSON file holds, or `None` where there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DiskError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => {
            let value = serde_json::from_slice(&read.doing("read", path)?);
            value.map(Some).map_err(io::Error::from).doing("understand", path)
        }
    }
}

/// Makes `path` a link that says `target`, in one step, whatever it said before.
pub fn write_link(path: &Path, target: &Path) -> Result<(), DiskError> {
    let temporary = temporary_of(path);
    remove_file(&temporary)?;
    std::os::unix::fs::symlink(target, &temporary).doing("create", &temporary)?;
    rename(&temporary, path)
}

/// Renames within a file system, durably, replacing a file or link that stands at `to`.
pub fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).doing("replace", to)?;
    sync_folder(folder_of(to))
}

/// Gives a file that is whole its name, durably, unless there is something by that name: then it is
/// left as it is, and so is the file.
pub fn give_name(from: &Path, to: &Path) -> Result<(), DiskError> {
    File::open(from).and_then(|file| file.sync_all()).doing("write", from)?;
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can; the moment in between is for others to lose.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !to.exists() => {
            fs::rename(from, to).doing("create", to)?;
        }
        named => named.doing("create", to)?,
    }
    sync_folder(folder_of(to))
}

/// Removes a file or link, durably only after the next sync; one that is not there is fine.
pub fn remove_file(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing("remove", path),
    }
}

/// Removes a folder and all below it, never through a link (the standard library holds each folder
/// open while it empties it); where nothing is, nothing is done. A link in its place is removed
/// itself.
pub fn remove_tree(path: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.doing("remove", path),
    }
}

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub fn sync_folder(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|folder| folder.sync_all()).doing("sync", path)
}

/// Removes the temporaries that a crash left in a folder: `.<name>.new`, as everything here is
/// called before it is renamed. Whoever changes a node holds its lock, so none is in use. There may
/// be no such folder.
pub fn remove_temporaries(folder: &Path) -> Result<(), DiskError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.doing("read", folder)?,
    };
    for entry in entries {
        let path = entry.doing("read", folder)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.starts_with('.') && name.ends_with(".new")) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Beside it, so that renaming stays within the folder; with a fixed name, so that a crash leaves
/// at most one. Whoever changes a node holds its lock.
fn temporary_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}
