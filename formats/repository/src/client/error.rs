//! How a client of a repository fails.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cutover_formats::channel::InvalidPointer;
use cutover_formats::descriptor::InvalidDescriptor;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::tuf::refusal::Refusal;

use crate::mirrors::Blame;
use crate::store::StoreError;

/// Why a repository, or a file of it, is not trusted or cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file was refused.
    #[error("{file} is not trusted: {refusal}")]
    Refused {
        /// The file.
        file: String,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The repository could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What stands there is no repository.
    #[error("there is no repository at {repository}: it has no metadata/timestamp.json")]
    NoRepository {
        /// Where.
        repository: String,
    },
    /// Signed metadata names a file that is not there.
    #[error("{repository} is incomplete: {file}, which its metadata names, is not there")]
    Incomplete {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
    },
    /// More new roots than one run follows.
    #[error("{repository} has more than {steps} new roots")]
    TooManyRoots {
        /// The repository.
        repository: String,
        /// How many were followed.
        steps: usize,
    },
    /// There is nothing to trust by.
    #[error("{} holds no root.json to trust the repository by", folder.display())]
    NoRoot {
        /// The folder of trusted metadata.
        folder: PathBuf,
    },
    /// Another root is trusted already.
    #[error("{} already trusts another root", folder.display())]
    OtherRoot {
        /// The folder of trusted metadata.
        folder: PathBuf,
    },
    /// Stored metadata cannot be read or written.
    #[error("{}: {source}", path.display())]
    Local {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A channel's pointer, though signed, cannot be used.
    #[error(transparent)]
    Pointer(#[from] InvalidPointer),
    /// A release's descriptor, though signed, cannot be used.
    #[error(transparent)]
    Descriptor(#[from] InvalidDescriptor),
}

impl Blame for TrustError {
    fn is_theirs(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::Store(_)
            | Self::NoRepository { .. }
            | Self::Incomplete { .. } => true,
            // The same everywhere, or of this machine.
            Self::TooManyRoots { .. }
            | Self::NoRoot { .. }
            | Self::OtherRoot { .. }
            | Self::Local { .. }
            | Self::Pointer(_)
            | Self::Descriptor(_) => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl Explain for TrustError {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused { refusal, .. } => refusal.exit(),
            Self::Store(error) => error.exit(),
            Self::NoRepository { .. } => Exit::NotFound,
            Self::Incomplete { .. } => Exit::Unreachable,
            Self::TooManyRoots { .. } => Exit::NotTrusted,
            Self::NoRoot { .. } | Self::OtherRoot { .. } => Exit::Usage,
            Self::Local { source, .. } => Exit::of_io(source),
            Self::Pointer(error) => error.exit(),
            Self::Descriptor(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused { refusal, .. } => refusal.hints(),
            Self::Store(error) => error.hints(),
            Self::NoRepository { .. } => {
                vec!["check the address; `pack repo init` makes a repository".to_owned()]
            }
            Self::Incomplete { .. } => {
                vec!["a mirror may be half copied; nothing was changed here".to_owned()]
            }
            Self::TooManyRoots { .. } => {
                vec!["those followed so far are stored; try again to follow the rest".to_owned()]
            }
            Self::NoRoot { .. } => {
                vec!["give the repository's root file, which `pack repo init` named".to_owned()]
            }
            Self::OtherRoot { .. } => {
                vec!["to trust another repository, remove that folder first".to_owned()]
            }
            Self::Local { source, .. } => Exit::hints_of_io(source),
            Self::Pointer(error) => error.hints(),
            Self::Descriptor(error) => error.hints(),
        }
    }
}
