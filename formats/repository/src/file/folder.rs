//! The folders and names of a repository, made durably, and nothing outside of it.
//!
//! The kernel resolves every path beneath the repository's folder and goes through no symbolic link
//! there, for reading and writing alike: a link that somebody left in a repository leads nobody to a
//! file that is not the repository's. Links on the way *to* the folder are the operator's, and mounts
//! below it are followed.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cutover_formats::path::RelPath;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// The folder of a repository.
#[derive(Debug)]
pub(super) struct Tree {
    base: OwnedFd,
    /// [`Mode::WGRP`] where the folder's group may write to it: then to what is made below it, too.
    group: Mode,
}

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Nobody waits for the other end of a pipe that somebody left in a repository.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// Whatever the umask, everybody may read a repository: web servers do, and nodes on shared disks.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);
pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

impl Tree {
    pub(super) fn open(base: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let base = rustix::fs::open(base, flags, Mode::empty())?;
        let found = Mode::from_raw_mode(rustix::fs::fstat(&base)?.st_mode);
        Ok(Self { base, group: found & Mode::WGRP })
    }

    /// The mode of a file that all publishers write to.
    pub(super) fn shared_file(&self) -> Mode {
        FILE_MODE | self.group
    }

    /// Opens a file, or what else is called so, for reading.
    pub(super) fn file(&self, path: &RelPath) -> io::Result<File> {
        Ok(self.resolve(path.as_str(), READ)?.into())
    }

    /// Opens a folder that is there.
    pub(super) fn folder(&self, path: &str) -> io::Result<Folder> {
        Ok(Folder(self.resolve(path, FOLDER)?))
    }

    /// Opens the folder of `path`, made if it is missing. The repository's own is never made.
    pub(super) fn make_parent(&self, path: &RelPath) -> io::Result<Folder> {
        let parent = path.parent().unwrap_or(".");
        match self.folder(parent) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        let mut folder = self.folder(".")?;
        for (at, _) in parent.match_indices('/').chain([(parent.len(), "")]) {
            let name = parent[..at].rsplit('/').next().unwrap_or(parent);
            folder = self.make(&folder, name, &parent[..at])?;
        }
        Ok(folder)
    }

    /// Opens the folder `path`, which is `name` in `above`, made if it is missing.
    pub(super) fn make(&self, above: &Folder, name: &str, path: &str) -> io::Result<Folder> {
        let mode = FOLDER_MODE | self.group;
        match rustix::fs::mkdirat(&above.0, name, mode) {
            Ok(()) => {
                above.sync()?;
                let made = self.folder(path)?;
                give(&made.0, mode)?;
                Ok(made)
            }
            Err(Errno::EXIST) => self.folder(path),
            Err(error) => Err(error.into()),
        }
    }

    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat2(&self.base, path, flags, Mode::empty(), BENEATH)?)
    }
}

/// A folder of a repository, in which files get their names.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Whether something is called so, be it a link that leads nowhere.
    pub(super) fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Gives the file `from` the name `name` unless that is taken (`AlreadyExists`). Where the file
    /// system has no hard links, `from` is renamed.
    pub(super) fn link_new(&self, from: &Path, name: &str) -> io::Result<()> {
        match rustix::fs::linkat(CWD, from, &self.0, name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                let new = RenameFlags::NOREPLACE;
                Ok(rustix::fs::renameat_with(CWD, from, &self.0, name, new)?)
            }
            Err(Errno::XDEV) => self.copy_new(from, name),
            Err(error) => Err(error.into()),
        }
    }

    /// The same for a folder on another disk than `from`: a synced copy, which has no name until it is whole.
    fn copy_new(&self, from: &Path, name: &str) -> io::Result<()> {
        let mut source = File::open(from)?;
        let mode = Mode::from_raw_mode(source.metadata()?.mode());
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut copy = File::from(rustix::fs::openat(&self.0, ".", flags, mode)?);
        rustix::fs::fchmod(&copy, mode)?;
        io::copy(&mut source, &mut copy)?;
        copy.sync_data()?;
        let own = format!("/proc/self/fd/{}", copy.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, own, &self.0, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Gives the file `from` the name `name` in place of what has it.
    pub(super) fn replace(&self, from: &Path, name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(CWD, from, &self.0, name)?)
    }

    /// Takes the name of a file away.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Brings its names to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }
}

/// Adds the bits of `mode` that the umask took from what was made; a set-group-id bit that a folder
/// inherited stays.
pub(super) fn give(made: impl AsFd, mode: Mode) -> io::Result<()> {
    let found = Mode::from_raw_mode(rustix::fs::fstat(&made)?.st_mode);
    if !found.contains(mode) {
        rustix::fs::fchmod(&made, found | mode)?;
    }
    Ok(())
}

/// Makes the folder for a repository, and those above it, if they are missing.
pub(super) fn make_base(base: &Path) -> io::Result<()> {
    if base.is_dir() {
        return Ok(());
    }
    if let Some(above) = base.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_base(above)?;
    }
    match rustix::fs::mkdir(base, FOLDER_MODE) {
        Err(Errno::EXIST) if base.is_dir() => Ok(()),
        made => {
            made?;
            give(rustix::fs::open(base, FOLDER, Mode::empty())?, FOLDER_MODE)
        }
    }
}

/// Whether a path could not be followed because of a symbolic link.
pub(super) fn is_link(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}
