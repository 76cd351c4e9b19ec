//! The disk: the one module of `install` that creates, renames and removes.
//!
//! Below a prefix, everything is done relative to a held [`Folder`]. Every path is resolved by the
//! kernel with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`, so that whatever
//! stands there, or is put there meanwhile, nothing outside is opened or created. Elsewhere in the
//! node's root, files are replaced whole: a temporary beside it, `fsync`, `rename`, `fsync` of the
//! folder. After a power cut there is the old file or the new one.

mod careful;
mod folder;
mod lines;
mod names;
pub mod record;
mod shut;
mod usage;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::exit::{Exit, Explain};
use cutover_repository::trusted_users::{TrustedUsers, Writers};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use careful::{open_careful, open_file_careful, read_careful, stands};
pub use folder::{Folder, file_type};
pub use lines::append_line;
pub use names::{same_name, sweep_trials};
pub use shut::shut;
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

    /// Whether the file is there and can be read, and makes no sense.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
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
            _ => Exit::hints_of_io(&self.source),
        }
    }
}

/// For whoever names the file otherwise.
impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        error.source
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
    replace(path, &temporary_of(path), bytes, permissions, Settle::OnDisk)
}

/// Whether what is written has to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settle {
    OnDisk,
    InMemory,
}

/// Writes all of `temporary`, then gives it the name of `path`.
fn replace(
    path: &Path,
    temporary: &Path,
    bytes: &[u8],
    permissions: Permissions,
    settle: Settle,
) -> Result<(), DiskError> {
    remove_file(temporary)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::open(temporary, flags, permissions.mode()).doing("create", temporary)?;
    let mut file = File::from(fd);
    let written = rustix::fs::fchmod(&file, permissions.mode())
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| if settle == Settle::OnDisk { file.sync_all() } else { Ok(()) })
        .doing("write", path);
    let replaced = match settle {
        Settle::OnDisk => written.and_then(|()| rename(temporary, path)),
        Settle::InMemory => {
            written.and_then(|()| fs::rename(temporary, path).doing("replace", path))
        }
    };
    if replaced.is_err() {
        // What matters is why writing failed; a temporary that stays is overwritten next time.
        let _ = fs::remove_file(temporary);
    }
    replaced
}

/// Opens a download that may have been begun before, for reading what is there and writing on.
/// What it holds is not durable: it is hashed again whenever it is used. It may lie in a folder that
/// others can write to: a link in its place is not followed, and a file that somebody else could change
/// after it was verified is removed and begun anew.
pub fn open_download(path: &Path) -> Result<File, DiskError> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()).map(File::from) {
        Ok(file) if is_ours_alone(&file.metadata().doing("read", path)?) => {
            return Ok(file);
        }
        Err(Errno::NOENT) => {}
        Ok(_) | Err(Errno::LOOP | Errno::ACCESS | Errno::NXIO) => remove_file(path)?,
        Err(error) => return Err(error).doing("open", path),
    }
    let made = flags | OFlags::CREATE | OFlags::EXCL;
    rustix::fs::open(path, made, Mode::from_raw_mode(0o644)).map(File::from).doing("create", path)
}

/// Whether nobody but trusted users may write to a file, and it has no second name, which may be that of a
/// file which nobody wants written to.
fn is_ours_alone(found: &fs::Metadata) -> bool {
    let users = TrustedUsers::of_this_process();
    let objection = users.objection(found.uid(), found.mode(), Writers::OwnerOnly);
    found.is_file() && objection.is_none() && found.nlink() == 1
}

/// Replaces a file whole with `value` as JSON, or creates it.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    write_file(path, &json(path, value)?, Permissions::Plain)
}

fn json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, DiskError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(io::Error::from).doing("write", path)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What a file holds.
pub fn read(path: &Path) -> Result<Vec<u8>, DiskError> {
    fs::read(path).doing("read", path)
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

/// Moves a folder to a name that is free, within a file system.
pub fn move_folder(from: &Path, to: &Path) -> Result<(), DiskError> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).doing("create", to)
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
        // A link or a file in its place.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => remove_file(path),
        removed => removed.map_err(|error| DiskError::new("remove", &first_left(path), error)),
    }
}

/// What kept a folder from being removed: the first that is left in it, and in that.
fn first_left(path: &Path) -> PathBuf {
    let mut left = path.to_owned();
    while left.is_dir() && !left.is_symlink() {
        let first = fs::read_dir(&left).ok().and_then(|mut entries| entries.next()?.ok());
        let Some(first) = first else { break };
        left = first.path();
    }
    left
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
