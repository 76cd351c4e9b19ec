//! A folder of keys: one file per role or several, and the root that is trusted.
//!
//! The keys of a role are `<role>.pem` and `<role>.<name>.pem`, which are keys, and
//! `<role>.key.toml` and `<role>.<name>.key.toml`, which [point](cutover_formats::keys::pointer) to
//! keys that are kept elsewhere. Those of all channels are called `channels`, and a channel may
//! have its own, `channel-<channel>`. Which of them the repository trusts is not said here.

mod agent;
mod command;
mod holder;
mod passphrase;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cutover_formats::keys::Signer;
use cutover_formats::keys::file::{
    Salt, is_encrypted, read_encrypted, read_plain, write_encrypted, write_plain,
};
use cutover_formats::keys::pointer::Pointer;
use cutover_formats::secret::Secret;
use cutover_repository::client::Client;
use cutover_repository::private;

pub use self::holder::{Holder, Signing};
pub use self::passphrase::{NewPassphrase, SHORTEST_PASSPHRASE, WeakPassphrase};
use super::PublishError;

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyRole {
    /// Appoints all others; offline.
    Root,
    /// Delegates to channels and releases; offline.
    Targets,
    /// Signs which versions belong together; online.
    Snapshot,
    /// Signs which snapshot is current; online.
    Timestamp,
    /// Signs releases.
    Releases,
    /// Signs where channels point.
    Channels,
    /// Signs where the channels of branches point.
    Branches,
}

impl KeyRole {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Root,
        Self::Targets,
        Self::Snapshot,
        Self::Timestamp,
        Self::Releases,
        Self::Channels,
        Self::Branches,
    ];

    /// The key that signs a metadata role of our own repositories.
    #[must_use]
    pub fn of(role: &str) -> Self {
        match role {
            "root" => Self::Root,
            "targets" => Self::Targets,
            "snapshot" => Self::Snapshot,
            "timestamp" => Self::Timestamp,
            "branches" => Self::Branches,
            channel if channel.starts_with("channel-") => Self::Channels,
            _ => Self::Releases,
        }
    }

    /// As its file is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
            Self::Releases => "releases",
            Self::Channels => "channels",
            Self::Branches => "branches",
        }
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Asks for the passphrase; called at most once, and only if a key is encrypted.
pub type AskPassphrase = Box<dyn Fn() -> Result<Secret, String> + Send + Sync>;

/// A folder of keys. Keys are read and decrypted when they are needed, and only those.
pub struct Keyring {
    folder: PathBuf,
    ask: AskPassphrase,
    passphrase: Mutex<Option<Secret>>,
    opened: Mutex<Vec<Arc<Holder>>>,
}

/// The folder of trusted metadata of a publisher, kept beside the keys, or for this run only where
/// that cannot be written to.
pub struct TrustFolder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl TrustFolder {
    /// A folder for this run only, that trusts `root`.
    pub fn temporary(root: &[u8]) -> Result<Self, PublishError> {
        let folder = tempfile::tempdir().map_err(PublishError::local(std::env::temp_dir()))?;
        let path = folder.path().to_owned();
        Client::init(path.clone(), root)?;
        Ok(Self { path, _temporary: Some(folder) })
    }

    /// Forgets which timestamp and snapshot were seen last; roots stay.
    pub(super) fn forget_moment(&self) -> Result<(), PublishError> {
        for role in ["timestamp", "snapshot"] {
            let file = self.path.join(format!("{role}.json"));
            match fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PublishError::local(file)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How new key files are protected.
pub enum Protection<'a> {
    /// By a passphrase.
    Passphrase(&'a NewPassphrase),
    /// Only by the modes of file and folder.
    None,
}

impl Keyring {
    /// The keys in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf, ask: AskPassphrase) -> Self {
        Self { folder, ask, passphrase: Mutex::new(None), opened: Mutex::new(Vec::new()) }
    }

    /// The file of a key.
    #[must_use]
    pub fn file(&self, role: KeyRole) -> PathBuf {
        self.folder.join(format!("{role}.pem"))
    }

    /// The file of the trusted root.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        self.folder.join("root.json")
    }

    /// Makes a key for every role. Nothing is overwritten: if one exists, none is made.
    pub fn create(&self, protection: &Protection<'_>) -> Result<Vec<Signer>, PublishError> {
        self.make_folder()?;
        if let Some(file) =
            KeyRole::ALL.map(|role| self.file(role)).into_iter().find(|f| f.exists())
        {
            return Err(PublishError::KeyExists { file });
        }
        let made = in_parallel(&KeyRole::ALL, |_| {
            let signer = draw()?;
            let pem = encoded(&signer, protection)?;
            Ok((signer, pem))
        })?;
        for (role, (_, pem)) in KeyRole::ALL.iter().zip(&made) {
            write_new(&self.file(*role), pem.as_bytes())?;
        }
        sync(&self.folder)?;
        Ok(made.into_iter().map(|(signer, _)| signer).collect())
    }

    /// Makes one more key for a role: `<role>.<begin of its id>.pem`.
    pub fn create_one(
        &self,
        role: &str,
        protection: &Protection<'_>,
    ) -> Result<(Signer, PathBuf), PublishError> {
        let signer = draw()?;
        let file = self.keep(role, &signer, protection)?;
        Ok((signer, file))
    }

    /// Writes a key that was drawn for a role into the folder: `<role>.<begin of its id>.pem`.
    pub fn keep(
        &self,
        role: &str,
        signer: &Signer,
        protection: &Protection<'_>,
    ) -> Result<PathBuf, PublishError> {
        self.make_folder()?;
        let file = self.folder.join(format!("{role}.{}.pem", &signer.id()[..8]));
        write_new(&file, encoded(signer, protection)?.as_bytes())?;
        sync(&self.folder)?;
        Ok(file)
    }

    /// The folder is there, survives a loss of power, and nobody else writes to it.
    fn make_folder(&self) -> Result<(), PublishError> {
        let is_new = !self.folder.exists();
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.folder);
        made.map_err(PublishError::local(&self.folder))?;
        match self.folder.parent() {
            Some(parent) if is_new && parent.as_os_str().is_empty() => sync(Path::new("."))?,
            Some(parent) if is_new => sync(parent)?,
            _ => {}
        }
        private::check_folder(&self.folder)?;
        Ok(())
    }

    /// All keys that are here for these metadata roles, opened in parallel; maybe none.
    pub fn holders(&self, roles: &[&str]) -> Result<Vec<Arc<Holder>>, PublishError> {
        let files = self.files(roles)?;
        let texts = files.into_iter().map(|file| {
            let read = private::read(&file)?;
            Ok((file, read.text))
        });
        let files = texts.collect::<Result<Vec<_>, PublishError>>()?;
        let asks = |(file, text): &(PathBuf, zeroize::Zeroizing<String>)| {
            is_encrypted(text) && self.opened(file).is_none()
        };
        let passphrase = if files.iter().any(asks) { Some(self.passphrase()?) } else { None };
        in_parallel(&files, |(file, text)| match self.opened(file) {
            Some(holder) => Ok(holder),
            None => {
                let holder = Arc::new(open(file, text, passphrase.as_ref())?);
                let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(Arc::clone(&holder));
                Ok(holder)
            }
        })
    }

    /// The keys of one role, of which there must be one.
    pub fn require(&self, role: &str) -> Result<Vec<Arc<Holder>>, PublishError> {
        self.present(role)?;
        self.holders(&[role])
    }

    /// Refuses a role of which there is no key here; opens none.
    pub fn present(&self, role: &str) -> Result<(), PublishError> {
        if self.files(&[role])?.is_empty() {
            let role = KeyRole::of(role);
            return Err(PublishError::NoKey { role, file: self.file(role) });
        }
        Ok(())
    }

    /// Refuses a folder in which a key file, or a pointer to a key, is open to others than its owner.
    pub fn check_private(&self) -> Result<(), PublishError> {
        let roles = self.roles()?;
        for file in self.files(&roles.iter().map(String::as_str).collect::<Vec<_>>())? {
            let mode = private::read(&file)?.mode;
            if mode & 0o077 != 0 {
                return Err(PublishError::Exposed { file, mode });
            }
        }
        Ok(())
    }

    /// The roles of which there is a key here: those of [`KeyRole`], and channels of their own.
    pub fn roles(&self) -> Result<Vec<String>, PublishError> {
        let entries = fs::read_dir(&self.folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let names = entries.map_err(PublishError::local(&self.folder))?;
        let stems = names
            .into_iter()
            .filter_map(|entry| Some(entry.file_name().to_str()?.split_once('.')?.0.to_owned()));
        let mut own: Vec<_> = stems.filter(|stem| stem.starts_with("channel-")).collect();
        own.sort();
        own.dedup();
        Ok(KeyRole::ALL.map(|role| role.as_str().to_owned()).into_iter().chain(own).collect())
    }

    /// The files of these roles' keys, in the order of the roles.
    fn files(&self, roles: &[&str]) -> Result<Vec<PathBuf>, PublishError> {
        private::check_folder(&self.folder)?;
        let folder = PublishError::local(&self.folder);
        let stems: Vec<_> =
            roles.iter().flat_map(|role| [KeyRole::of(role).as_str(), *role]).collect();
        let mut files = Vec::new();
        let entries = fs::read_dir(&self.folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for entry in entries.map_err(folder)? {
            let name = entry.file_name();
            let Some((stem, kind)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let kind = format!(".{kind}");
            let is_key = kind.ends_with(".pem") || kind.ends_with(".key.toml");
            let place = stems.iter().position(|one| *one == stem);
            if let (true, Some(place)) = (is_key && !kind.ends_with(".pub.pem"), place) {
                files.push((place, entry.path()));
            }
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }

    fn opened(&self, file: &Path) -> Option<Arc<Holder>> {
        let all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|holder| holder.file() == file).map(Arc::clone)
    }

    fn passphrase(&self) -> Result<Secret, PublishError> {
        let mut known = self.passphrase.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = Some((self.ask)().map_err(|why| PublishError::NoPassphrase { why })?);
        }
        Ok(known.clone().expect("just asked for"))
    }

    /// The trusted root.
    pub fn root(&self) -> Result<Vec<u8>, PublishError> {
        private::check_folder(&self.folder)?;
        Ok(private::read(&self.root_file())?.text.as_bytes().to_vec())
    }

    /// Stores the root that is trusted from now on.
    pub fn trust(&self, root: &[u8]) -> Result<(), PublishError> {
        let file = self.root_file();
        let written = || -> std::io::Result<()> {
            let mut new = tempfile::NamedTempFile::new_in(&self.folder)?;
            new.write_all(root)?;
            new.as_file().sync_all()?;
            new.persist(&file)?;
            File::open(&self.folder)?.sync_all()
        };
        written().map_err(PublishError::local(file))
    }

    /// What was trusted of `repository` so far, so that an older state of it is noticed.
    pub fn trust_folder(&self, repository: &str) -> Result<TrustFolder, PublishError> {
        let root = self.root()?;
        let path = Client::memory(&self.folder.join("trust"), &root, repository);
        if !path.join("root.json").exists() {
            match fs::DirBuilder::new().recursive(true).mode(0o700).create(&path) {
                Ok(()) => Client::init(path.clone(), &root)?,
                Err(_) => return TrustFolder::temporary(&root),
            }
        }
        // Its root.json is trusted as the one beside the keys is. Nobody else gets at it in a closed folder.
        if private::check_folder(&self.folder)? & 0o077 != 0 {
            for folder in path.ancestors().take(2) {
                private::check_folder(folder)?;
            }
        }
        let probe = tempfile::tempfile_in(&path);
        if probe.is_err() {
            TrustFolder::temporary(&root)
        } else {
            Ok(TrustFolder { path, _temporary: None })
        }
    }
}

/// A new key, which is nowhere but in memory yet: [`Keyring::keep`] writes it down.
pub fn draw() -> Result<Signer, PublishError> {
    Ok(Signer::from_seed(random()?))
}

fn encoded(
    signer: &Signer,
    protection: &Protection<'_>,
) -> Result<zeroize::Zeroizing<String>, PublishError> {
    Ok(match protection {
        Protection::None => write_plain(signer),
        Protection::Passphrase(passphrase) => {
            let salt = Salt { salt: random()?, iv: random()? };
            write_encrypted(signer, passphrase.reveal(), &salt)
        }
    })
}

/// The key that a file is, or points to.
fn open(file: &Path, text: &str, passphrase: Option<&Secret>) -> Result<Holder, PublishError> {
    if file.extension().is_some_and(|kind| kind == "toml") {
        let pointer = Pointer::parse(text);
        let failed = |why: String| PublishError::KeyStore { file: file.to_owned(), why };
        return Holder::elsewhere(
            file.to_owned(),
            pointer.map_err(|error| failed(error.to_string()))?,
        );
    }
    let signer = match passphrase {
        Some(passphrase) if is_encrypted(text) => read_encrypted(text, passphrase.reveal()),
        _ => read_plain(text),
    };
    let signer = signer.map_err(|source| PublishError::Key { file: file.to_owned(), source })?;
    Ok(Holder::here(file.to_owned(), signer))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], PublishError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| PublishError::Local {
        path: "/dev/urandom".into(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}

/// Key derivation takes tenths of a second each; several keys share the processors.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, PublishError> + Sync,
) -> Result<Vec<R>, PublishError> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || work(item))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Has the entries of a folder survive a loss of power.
fn sync(folder: &Path) -> Result<(), PublishError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(PublishError::local(folder))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(PublishError::local(path))
}
