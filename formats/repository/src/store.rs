//! What can be done with a repository's files, and how it fails.
//!
//! Paths are relative to the repository's base, as [`cutover_formats::layout`] makes them. Of what is
//! percent-encoded in a path nothing is encoded again: a name that was encoded when it was made, as that
//! of a role's file is, is the same name in a folder and in a URL. Every call blocks. No store may be used from inside an async runtime's thread.

use std::path::Path;
use std::time::Duration;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::path::UnsafePath;
use tempfile::NamedTempFile;

/// Reading.
pub trait Read: Send + Sync {
    /// A whole small file; refused ([`StoreError::TooLarge`]) beyond `cap` bytes.
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError>;

    /// A file's bytes from offset `from`: at most `cap` of them, however long the file is, and
    /// none where the file ends before `from`. A failure while reading is an [`std::io::Error`]
    /// that [`StoreError::from_stream`] turns back into what happened.
    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError>;

    /// The repository's name for messages; holds no secrets.
    fn describe(&self) -> String;
}

/// Adding files that are never changed again.
pub trait Create: Read {
    /// Makes a file, durably, unless there already is one at `path`: that is left as it is.
    /// Of many who create the same path at once exactly one is told [`Created::New`].
    fn create(&self, path: &str, body: Body<'_>) -> Result<Created, StoreError>;

    /// A new temporary file in the place from which [`Body::File`] is cheapest: a folder
    /// repository links it instead of copying it, so it must not be written to after `create`.
    /// Dropping it removes it; what was created stays.
    fn temp_file(&self) -> Result<NamedTempFile, StoreError>;
}

/// Replacing the one file that is ever replaced.
pub trait Swap: Create {
    /// Puts `new` at `path` if the file there still is `expected` (`None`: if there is none),
    /// atomically and durably.
    fn swap(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<Swapped, StoreError>;
}

/// What is put into a file.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The contents of this file.
    File(&'a Path),
}

/// How a create ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The file is there, and this call made it.
    New,
    /// There was one before, which was left untouched.
    Exists,
}

/// How a swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The file is the new one.
    Done,
    /// The file was not the expected one, and was left untouched.
    Changed,
}

/// Why a repository could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The repository has no such file.
    #[error("{what} does not exist")]
    NotFound {
        /// The file.
        what: String,
    },
    /// A file is longer than it may be.
    #[error("{what} is larger than the {cap} bytes that are allowed for it")]
    TooLarge {
        /// The file.
        what: String,
        /// The limit, bytes.
        cap: u64,
    },
    /// The folder, the host or the way to it is not there.
    #[error("cannot reach {what}: {why}")]
    Unreachable {
        /// The repository or file.
        what: String,
        /// What happened.
        why: String,
    },
    /// The server is there, and asks to come back later.
    #[error("cannot reach {what}: {why}")]
    Busy {
        /// The file.
        what: String,
        /// The server's words.
        why: String,
        /// When to come back.
        after: Duration,
    },
    /// The repository's disk or quota is full.
    #[error("no space for {what}: {why}")]
    NoSpace {
        /// The file.
        what: String,
        /// What happened.
        why: String,
    },
    /// The repository may not be read or written by us.
    #[error("no permission for {what}: {why}")]
    Denied {
        /// The file.
        what: String,
        /// What happened.
        why: String,
        /// What to do about it.
        hint: String,
    },
    /// The server keeps a file from us, or from everybody: object stores answer so where somebody who may
    /// not list them asks for a file that is not there.
    #[error("no permission for {what}: {why}")]
    Forbidden {
        /// The file.
        what: String,
        /// What happened.
        why: String,
        /// What to do about it.
        hint: String,
    },
    /// The repository's server did not accept what was asked of it.
    #[error("{what} was refused: {why}")]
    Refused {
        /// The file.
        what: String,
        /// The server's words.
        why: String,
    },
    /// A path that may not be in a repository.
    #[error(transparent)]
    Path(#[from] UnsafePath),
    /// Anything else that the operating system reports.
    #[error("{what}: {source}")]
    Io {
        /// The file.
        what: String,
        /// What happened.
        source: std::io::Error,
    },
}

impl StoreError {
    /// What happened to a [`Read::stream`] that failed while `what` was read from it.
    #[must_use]
    pub fn from_stream(what: &str, error: std::io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|source| Self::Io { what: what.to_owned(), source })
    }

    /// What it means that a [`Create::temp_file`] cannot be written to.
    #[must_use]
    pub fn from_write(what: &str, error: std::io::Error) -> Self {
        crate::file::writing(what, error)
    }

    /// Whether the file is simply not there: the only failure that may end a search.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether this answer to the question for the next root means that there is none: object stores
    /// forbid what is not there, to those who may not list them. A server that hides a root could as well
    /// say that there is none.
    #[must_use]
    pub fn ends_roots(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Forbidden { .. })
    }
}

/// Keeps the classification of [`Exit::of_io`] and, for [`StoreError::from_stream`], the error itself.
impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            StoreError::NotFound { .. } => ErrorKind::NotFound,
            StoreError::Unreachable { .. } | StoreError::Busy { .. } => ErrorKind::TimedOut,
            StoreError::NoSpace { .. } => ErrorKind::StorageFull,
            StoreError::Denied { .. } | StoreError::Forbidden { .. } => ErrorKind::PermissionDenied,
            StoreError::Io { source, .. } => source.kind(),
            StoreError::TooLarge { .. } | StoreError::Refused { .. } | StoreError::Path(_) => {
                ErrorKind::InvalidData
            }
        };
        Self::new(kind, error)
    }
}

impl Explain for StoreError {
    fn exit(&self) -> Exit {
        match self {
            Self::NotFound { .. } => Exit::NotFound,
            Self::TooLarge { .. } | Self::Path(_) => Exit::NotTrusted,
            Self::Unreachable { .. } | Self::Busy { .. } => Exit::Unreachable,
            Self::NoSpace { .. } => Exit::NoSpace,
            Self::Denied { .. } | Self::Forbidden { .. } => Exit::Usage,
            Self::Refused { .. } => Exit::Unexpected,
            Self::Io { source, .. } => Exit::of_io(source),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Denied { hint, .. } | Self::Forbidden { hint, .. } => vec![hint.clone()],
            Self::Busy { .. } => {
                vec!["it has too much to do; try again later, or name a mirror".to_owned()]
            }
            Self::Unreachable { .. } => {
                vec!["check the address, and whether it is up; then try again".to_owned()]
            }
            Self::NoSpace { .. } => {
                vec![
                    "nothing was published; make room at the repository, then try again".to_owned(),
                ]
            }
            _ => Vec::new(),
        }
    }
}
