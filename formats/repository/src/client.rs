//! The update client: from a pinned root to a verified file.
//!
//! Drives the pure workflow of [`cutover_formats::tuf`] over a [`Read`] store and a folder of
//! trusted metadata. One client is one run: `now` is given when it is opened. What was verified is
//! stored at once, so that an interrupted run leaves floors and never a gap; what was refused is
//! not stored, so that no answer of a repository can wedge the next run.

mod ahead;
mod catalog;
mod error;
mod folder;
mod owner;
mod remembered;
mod roles;
mod withdrawn;

use std::path::{Path, PathBuf};

use cutover_formats::tuf::fields::Hashes;
use cutover_formats::tuf::json::Json;
use cutover_formats::tuf::metadata::{Signed as _, Verified};
use cutover_formats::tuf::names;
use cutover_formats::tuf::refusal::Refusal;
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::search::{Search, Step};
use cutover_formats::tuf::snapshot::Snapshot;
use cutover_formats::tuf::targets::Target;
use cutover_formats::tuf::timestamp::Timestamp;
use cutover_formats::tuf::trusted::{Copy, Roots, Snapshots, Stored, Timestamps, Trusted};
use cutover_formats::{digest, layout};

use self::ahead::Ahead;
pub use self::catalog::ReleaseEntry;
pub use self::error::TrustError;
use self::folder::Folder;
pub use self::folder::sweep;
pub use self::owner::{Delegation, Owner};
pub use self::remembered::{Remembered, RememberedRole};
use self::roles::Roles;
pub use self::withdrawn::Withdrawal;
use crate::mirrors::Mirrors;
use crate::store::{Read, StoreError};
pub use cutover_formats::tuf::signed_by::{SignedBy, SigningKey};

/// Most bytes that are read of a file of each role, signed lengths or not.
pub mod caps {
    /// `root.json`.
    pub const ROOT: u64 = 512 << 10;
    /// `timestamp.json`.
    pub const TIMESTAMP: u64 = 16 << 10;
    /// `snapshot.json`.
    pub const SNAPSHOT: u64 = 2 << 20;
    /// `targets.json` and every delegated role.
    pub const TARGETS: u64 = 8 << 20;
    /// Most new roots that are followed in one run.
    pub const ROOT_STEPS: usize = 256;
}

/// A client of one repository, for one run.
pub struct Client<'a> {
    mirrors: Mirrors<'a>,
    /// How many of them have had the word, or failed to.
    led: usize,
    folder: Folder,
    now: jiff::Timestamp,
    moment: Option<Moment>,
}

/// One moment of the repository: what [`Client::refresh`] settled on, and the roles loaded since.
struct Moment {
    trusted: Trusted,
    roles: Roles,
    timestamp: Vec<u8>,
}

/// A file that signed metadata vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFile {
    path: String,
    target: Target,
    signed_by: SignedBy,
}

impl TargetFile {
    /// Its target path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whose word it is.
    #[must_use]
    pub fn signed_by(&self) -> &SignedBy {
        &self.signed_by
    }

    /// Its length, bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.target.length
    }

    /// Its digests.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        self.target.hashes
    }

    /// Its SHA-256, which repositories of ours always sign.
    #[must_use]
    pub fn sha256(&self) -> Option<digest::Digest> {
        self.target.hashes.sha256
    }

    /// What the signer says about it.
    #[must_use]
    pub fn custom(&self) -> Option<&Json> {
        self.target.custom.as_ref()
    }

    /// Refuses `bytes` that are not this file.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        self.target.check(&self.path, bytes)
    }
}

impl<'a> Client<'a> {
    /// Begins to trust a repository: stores its pinned root in `trust_dir`, which is created.
    ///
    /// The root must be signed by its own keys. A folder that trusts another root is left as it is.
    pub fn init(trust_dir: PathBuf, pinned_root: &[u8]) -> Result<(), TrustError> {
        let refused = |refusal| TrustError::Refused { file: "the given root".to_owned(), refusal };
        Roots::pinned(pinned_root).map_err(refused)?;
        Folder::create(trust_dir)?.pin(pinned_root)
    }

    /// Where below `base` trusted metadata is kept for everybody who pins `root` for `repository`, so
    /// that an older state of it is noticed in the next run.
    #[must_use]
    pub fn memory(base: &Path, root: &[u8], repository: &str) -> PathBuf {
        let id = digest::Digest::of(&[root, repository.as_bytes()].concat()).to_string();
        base.join(&id[..16])
    }

    /// A client that trusts what `trust_dir` holds, at the time `now`. Reads nothing of the
    /// repository yet.
    pub fn open(
        store: &'a dyn Read,
        trust_dir: PathBuf,
        now: jiff::Timestamp,
    ) -> Result<Self, TrustError> {
        Self::open_any(Mirrors::only(store), trust_dir, now)
    }

    /// The same for a repository that is in several places: the first that shows a state which can be
    /// trusted has the word, and what it does not give is asked of the others.
    pub fn open_any(
        mirrors: Mirrors<'a>,
        trust_dir: PathBuf,
        now: jiff::Timestamp,
    ) -> Result<Self, TrustError> {
        let folder = Folder::open(trust_dir)?;
        stored_root(&folder)?;
        Ok(Self { mirrors, led: 1, folder, now, moment: None })
    }

    /// The time of this run.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.now
    }

    /// Brings everything up to date, in the order root, timestamp, snapshot, targets.
    pub fn refresh(&mut self) -> Result<(), TrustError> {
        self.moment = None;
        let (trusted, timestamp) = self.mirrors.ask(|store| self.settle(store))?;
        let mut moment = Moment { trusted, roles: Roles::default(), timestamp };
        moment.roles.top(&self.source(), &moment.trusted)?;
        self.moment = Some(moment);
        Ok(())
    }

    /// Gives the word to the next place, which may know more: for who was told that there is no such
    /// thing. Whether there is one that has not had it.
    pub fn look_elsewhere(&mut self) -> Result<bool, TrustError> {
        if self.led >= self.mirrors.count() {
            return Ok(false);
        }
        self.led += 1;
        self.mirrors.advance();
        self.refresh()?;
        Ok(true)
    }

    /// What one place shows. It is asked before the folder is locked, so that no client waits for the
    /// network of another; what counts is what is accepted behind the lock. Without it, two clients of
    /// one folder would take each other's floors for rollbacks.
    fn settle(&self, store: &dyn Read) -> Result<(Trusted, Vec<u8>), TrustError> {
        let ahead = Ahead::of(store);
        let before = self.folder.floors()?;
        // Whatever comes of it comes again.
        let _ = self.settle_in(&self.folder.draft(), &ahead);
        let _lock = self.folder.lock(&|words| self.mirrors.tell(words))?;
        if self.folder.floors()? == before {
            self.settle_in(&self.folder, &ahead)
        } else {
            // Another client was here, and may know more than was asked for.
            self.settle_in(&self.folder, store)
        }
    }

    fn settle_in(
        &self,
        folder: &Folder,
        store: &dyn Read,
    ) -> Result<(Trusted, Vec<u8>), TrustError> {
        let timestamps = self.follow_roots(folder, store)?;
        let (snapshots, timestamp) = accept_timestamp(folder, store, timestamps)?;
        Ok((accept_snapshot(folder, store, snapshots)?, timestamp))
    }

    /// What the last [`Client::refresh`] settled on; refreshes where there was none.
    pub fn trusted(&mut self) -> Result<&Trusted, TrustError> {
        Ok(&self.moment()?.1.trusted)
    }

    /// A target, by the word of the most trusted role that speaks of it. Loads only the roles on
    /// the way. `None`: nobody vouches for it.
    pub fn find(&mut self, target_path: &str) -> Result<Option<TargetFile>, TrustError> {
        let (source, moment) = self.moment()?;
        let refused = |refusal| TrustError::Refused { file: target_path.to_owned(), refusal };
        let mut search = Search::new(target_path).map_err(refused)?;
        let mut signed_by = SignedBy::default();
        loop {
            match search.step().map_err(refused)? {
                Step::Need(edge) => {
                    let role = moment.roles.load(&source, &moment.trusted, &edge)?;
                    search.supply(&role);
                    signed_by = SignedBy::new(&edge, &role, moment.trusted.root());
                }
                Step::Absent => return Ok(None),
                Step::Found(target) => {
                    let path = target_path.to_owned();
                    return Ok(Some(TargetFile { path, target, signed_by }));
                }
            }
        }
    }

    /// The verified bytes of a small target; refused beyond `cap`.
    pub fn read_target(&mut self, file: &TargetFile, cap: u64) -> Result<Vec<u8>, TrustError> {
        let (source, moment) = self.moment()?;
        let path = stored(moment.trusted.root(), file);
        if file.length() > cap {
            return Err(StoreError::TooLarge { what: path, cap }.into());
        }
        let (bytes, ()) = source.get(&path, file.length(), |bytes| file.check(bytes))?;
        Ok(bytes)
    }

    fn source(&self) -> Source<'_> {
        Source { mirrors: &self.mirrors, folder: &self.folder }
    }

    fn moment(&mut self) -> Result<(Source<'_>, &mut Moment), TrustError> {
        if self.moment.is_none() {
            self.refresh()?;
        }
        let source = Source { mirrors: &self.mirrors, folder: &self.folder };
        Ok((source, self.moment.as_mut().expect("refresh has just made it")))
    }

    /// Step by step, each stored before the next is asked for. Only "not found" ends the chain, or that
    /// the server keeps the file from us: object stores say so of what is not there, to those who may not
    /// list them. A server that hides a root could as well say that there is none.
    fn follow_roots(&self, folder: &Folder, store: &dyn Read) -> Result<Timestamps, TrustError> {
        let mut roots = stored_root(folder)?;
        for _ in 0..caps::ROOT_STEPS {
            let path = metadata(Root::TYPE, Some(roots.next_version()));
            let bytes = match store.get(&path, caps::ROOT) {
                Ok(bytes) => bytes,
                Err(error) if error.ends_roots() => {
                    let file = metadata(Root::TYPE, Some(roots.root().head.version));
                    return roots
                        .finish(self.now)
                        .map_err(|refusal| refused(store, &file, refusal));
                }
                Err(error) => return Err(error.into()),
            };
            let stored = roots.step(&bytes).map_err(|refusal| refused(store, &path, refusal))?;
            if stored == Stored::Dropped {
                folder.remove(Timestamp::TYPE)?;
                folder.remove(Snapshot::TYPE)?;
            }
            folder.write(Root::TYPE, &bytes)?;
        }
        Err(TrustError::TooManyRoots { repository: store.describe(), steps: caps::ROOT_STEPS })
    }
}

fn stored_root(folder: &Folder) -> Result<Roots, TrustError> {
    let no_root = || TrustError::NoRoot { folder: folder.path().to_owned() };
    let bytes = folder.read(Root::TYPE, caps::ROOT)?.ok_or_else(no_root)?;
    let file = folder.file(Root::TYPE).display().to_string();
    Roots::pinned(&bytes).map_err(|refusal| TrustError::Refused { file, refusal })
}

fn accept_timestamp(
    folder: &Folder,
    store: &dyn Read,
    mut timestamps: Timestamps,
) -> Result<(Snapshots, Vec<u8>), TrustError> {
    if let Some(stored) = folder.read(Timestamp::TYPE, caps::TIMESTAMP)? {
        // One that does not verify any more is no floor.
        let _ = timestamps.floor(&stored);
    }
    let bytes = store.get(layout::TIMESTAMP, caps::TIMESTAMP).map_err(|error| {
        if error.is_not_found() {
            return TrustError::NoRepository { repository: store.describe() };
        }
        error.into()
    })?;
    let (snapshots, copy) =
        timestamps.accept(&bytes).map_err(|refusal| refused(store, layout::TIMESTAMP, refusal))?;
    if copy == Copy::Received {
        folder.write(Timestamp::TYPE, &bytes)?;
    }
    Ok((snapshots, bytes))
}

fn accept_snapshot(
    folder: &Folder,
    store: &dyn Read,
    mut snapshots: Snapshots,
) -> Result<Trusted, TrustError> {
    if let Some(stored) = folder.read(Snapshot::TYPE, caps::SNAPSHOT)?
        && snapshots.floor(&stored).is_ok()
        && let Ok(trusted) = snapshots.reuse(&stored)
    {
        return Ok(trusted);
    }
    let wanted = snapshots.wanted();
    let path = path_in(snapshots.root(), Snapshot::TYPE, wanted.version);
    let cap = wanted.length.unwrap_or(caps::SNAPSHOT).min(caps::SNAPSHOT);
    let bytes = named(store, &path, cap)?;
    let trusted = snapshots.accept(&bytes).map_err(|refusal| refused(store, &path, refusal))?;
    folder.write(Snapshot::TYPE, &bytes)?;
    Ok(trusted)
}

fn refused(store: &dyn Read, path: &str, refusal: Refusal) -> TrustError {
    TrustError::Refused { file: format!("{path} of {}", store.describe()), refusal }
}

/// A file that signed metadata names, so that it has to be there.
fn named(store: &dyn Read, path: &str, cap: u64) -> Result<Vec<u8>, TrustError> {
    store.get(path, cap).map_err(|error| {
        if error.is_not_found() {
            let (repository, file) = (store.describe(), path.to_owned());
            return TrustError::Incomplete { repository, file };
        }
        error.into()
    })
}

/// Where a client reads: the repository, and what is stored of it.
struct Source<'c> {
    mirrors: &'c Mirrors<'c>,
    folder: &'c Folder,
}

impl Source<'_> {
    /// A file that signed metadata names, from the first place where it is what `accept` accepts.
    fn get<T>(
        &self,
        path: &str,
        cap: u64,
        accept: impl Fn(&[u8]) -> Result<T, Refusal>,
    ) -> Result<(Vec<u8>, T), TrustError> {
        self.mirrors.ask(|store| {
            let bytes = named(store, path, cap)?;
            let accepted = accept(&bytes).map_err(|refusal| refused(store, path, refusal))?;
            Ok((bytes, accepted))
        })
    }
}

fn metadata(role: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("metadata/{}", names::versioned(role, version)),
        None => format!("metadata/{}", names::file(role)),
    }
}

/// Where a version of a role is: without consistent snapshots names carry no version.
fn path_in(root: &Verified<Root>, role: &str, version: u64) -> String {
    metadata(role, root.consistent_snapshot.then_some(version))
}

/// Where a target is.
fn stored(root: &Verified<Root>, file: &TargetFile) -> String {
    let Hashes { sha256, sha512 } = file.hashes();
    match (root.consistent_snapshot, sha256, sha512) {
        (true, Some(sha256), _) => layout::stored(file.path(), sha256),
        (true, None, Some(sha512)) => {
            let (folder, name) = file.path().rsplit_once('/').unwrap_or(("", file.path()));
            let slash = if folder.is_empty() { "" } else { "/" };
            format!("targets/{folder}{slash}{}.{name}", digest::to_hex(&sha512))
        }
        _ => format!("targets/{}", file.path()),
    }
}
