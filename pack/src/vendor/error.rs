//! Distributions that cannot be vendored.

use std::path::PathBuf;

use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::path::{RelPath, UnsafePath};
use cutover_repository::location::InvalidLocation;
use cutover_repository::store::StoreError;

use cutover_pack::lock::InvalidLock;

/// Why something cannot be vendored. Nothing was released when one of these is reported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VendorError {
    /// The lock cannot be read.
    #[error("cannot read the lock `{path}`: {source}")]
    NoLock {
        /// Where `release.toml` says that it is.
        path: RelPath,
        /// What the system says.
        source: std::io::Error,
    },
    /// The lock does not lock.
    #[error("{path} {error}")]
    Lock {
        /// The lock.
        path: RelPath,
        /// What is wrong with it.
        error: InvalidLock,
    },
    /// The folder of distributions is not in the tree.
    #[error("the find-links folder `{0}` is not in the tree")]
    NoFindLinks(RelPath),
    /// The interpreter cannot be started.
    #[error("cannot run `{interpreter}`: {source}")]
    NoInterpreter {
        /// As in `release.toml`.
        interpreter: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The interpreter runs, but it does not do what it must.
    #[error("`{interpreter}` {what}: {why}")]
    Interpreter {
        /// As in `release.toml`.
        interpreter: String,
        /// What it does not do.
        what: &'static str,
        /// Its last words.
        why: String,
    },
    /// A dependency that the lock leaves out.
    #[error("`{package}` is missing from the lock {lock}{}", wanted_by(.by))]
    NotLocked {
        /// What is missing.
        package: String,
        /// Who wants it, where that is known.
        by: Option<String>,
        /// The lock.
        lock: RelPath,
    },
    /// A distribution that cannot be had.
    #[error("no distribution of `{requirement}` is {} for this interpreter", place.there())]
    NoDistribution {
        /// Name and version.
        requirement: String,
        /// Where it was looked for.
        place: Place,
    },
    /// A source distribution whose builder cannot be had.
    #[error("`{sdist}` is a source distribution, and `{builder}`, which builds it, is not {}", place.there())]
    NoBuilder {
        /// The distribution.
        sdist: String,
        /// What is missing.
        builder: String,
        /// Where it was looked for.
        place: Place,
    },
    /// A source distribution that cannot be built.
    #[error("`{sdist}` is a source distribution and cannot be built: {why}")]
    NotBuilt {
        /// The distribution.
        sdist: String,
        /// Pip's errors, without addresses.
        why: String,
    },
    /// The package index cannot be reached.
    #[error("pip cannot reach the package index that it is set up for")]
    NoIndex,
    /// A distribution with another digest than locked.
    #[error("`{what}` does not have the digest that is locked for it: it is sha256 {found}")]
    OtherDigest {
        /// The distribution.
        what: String,
        /// What was found.
        found: String,
    },
    /// Pip failed in a way that nothing better is known about.
    #[error("pip cannot fetch what is locked in {lock}: {why}")]
    Pip {
        /// The lock.
        lock: RelPath,
        /// Its errors, without addresses.
        why: String,
    },
    /// A file is not what it must be.
    #[error("{url} is not the file that is locked: it is sha256 {found}, locked is {expected}")]
    OtherFile {
        /// Where it comes from.
        url: String,
        /// What was found.
        found: Digest,
        /// What is locked.
        expected: Digest,
    },
    /// An address that files cannot be fetched from.
    #[error(transparent)]
    Address(#[from] InvalidLocation),
    /// A file cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] StoreError),
    /// A distribution's name cannot be in a release.
    #[error(transparent)]
    Path(#[from] UnsafePath),
    /// There is no place for the cache.
    #[error("there is no folder for the cache: neither CUTOVER_CACHE nor HOME is set")]
    NoCache,
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Where distributions are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of the tree.
    Folder(RelPath),
    /// The package index that pip is set up for.
    Index,
}

impl Place {
    fn there(&self) -> String {
        match self {
            Self::Folder(folder) => format!("in the find-links folder `{folder}`"),
            Self::Index => "on the package index".to_owned(),
        }
    }
}

fn wanted_by(by: &Option<String>) -> String {
    by.as_ref().map(|by| format!(", and {by} needs it")).unwrap_or_default()
}

impl Explain for VendorError {
    fn exit(&self) -> Exit {
        match self {
            Self::OtherDigest { .. } | Self::OtherFile { .. } => Exit::NotTrusted,
            Self::NoDistribution { .. } | Self::NoBuilder { .. } => Exit::NotFound,
            Self::Fetch(error) => error.exit(),
            Self::Io { source, .. } => Exit::of_io(source),
            Self::NoIndex => Exit::Unreachable,
            Self::Pip { .. } => Exit::Unexpected,
            _ => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        let untouched = "nothing was released".to_owned();
        let advice = match self {
            Self::NoLock { .. } | Self::Lock { .. } => {
                "write it with: uv pip compile --generate-hashes -o requirements.lock …"
            }
            Self::NotLocked { .. } => "compile the lock anew, with everything that is needed",
            Self::NoDistribution { .. } => "is the lock for this interpreter and platform?",
            Self::NoBuilder { place: Place::Folder(_), .. } => {
                "put a wheel of it in its place and lock that (`pip wheel --no-deps`), or add the \
                 builder's wheel to the folder"
            }
            Self::NoBuilder { .. } | Self::NotBuilt { .. } => {
                "put a wheel of it in its place and lock that (`pip wheel --no-deps`)"
            }
            Self::OtherDigest { .. } | Self::OtherFile { .. } => {
                "compare it with its publisher's; if it is right, lock its digest"
            }
            Self::NoInterpreter { .. } => {
                "install it here, or name another one in [vendor.python] of release.toml"
            }
            _ => return vec![untouched],
        };
        vec![advice.to_owned(), untouched]
    }
}
