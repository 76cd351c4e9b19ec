//! How publishing fails.

use std::io;
use std::path::PathBuf;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::keys::file::KeyError;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_repository::client::TrustError;
use cutover_repository::store::StoreError;
use cutover_terminal::nearest;

use super::keyring::KeyRole;

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The version exists.
    #[error("{product} {version} is already published")]
    AlreadyPublished {
        /// The product.
        product: Product,
        /// The version.
        version: Version,
    },
    /// A file that should be new was vouched for before.
    #[error("{path} is already published")]
    Taken {
        /// Its target path.
        path: String,
    },
    /// The version does not exist.
    #[error("there is no {product} {version} in the repository")]
    NoRelease {
        /// The product.
        product: Product,
        /// The version.
        version: Version,
        /// The versions that exist.
        known: Vec<String>,
    },
    /// The channel does not exist.
    #[error("the repository has no channel `{channel}`")]
    NoChannel {
        /// The channel.
        channel: Channel,
        /// The channels that exist.
        known: Vec<String>,
    },
    /// Others were faster, each time.
    #[error("other publishers were faster {attempts} times in a row")]
    LostRace {
        /// How often it was tried.
        attempts: u32,
    },
    /// A file that would have to be new, or equal, is neither.
    #[error("{path} is in the repository already, with other contents")]
    Differs {
        /// The file.
        path: String,
    },
    /// There is a repository already.
    #[error("{repository} already holds a repository: {file} exists")]
    Occupied {
        /// Where.
        repository: String,
        /// What was found.
        file: String,
    },
    /// A key file is not there.
    #[error("the {role} key is missing: there is no {}", file.display())]
    NoKey {
        /// The role.
        role: KeyRole,
        /// Its file.
        file: PathBuf,
    },
    /// A key file is there, and must not be overwritten.
    #[error("{} exists; keys are never overwritten", file.display())]
    KeyExists {
        /// The file.
        file: PathBuf,
    },
    /// A key file cannot be used.
    #[error("the {role} key {}: {source}", file.display())]
    Key {
        /// The role.
        role: KeyRole,
        /// Its file.
        file: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A key is not the repository's.
    #[error("the {role} key {} is not one that the repository trusts for {signs}", file.display())]
    OtherKey {
        /// The key's role.
        role: KeyRole,
        /// Its file.
        file: PathBuf,
        /// The metadata role that was to be signed.
        signs: String,
    },
    /// More signatures are needed than one key file gives.
    #[error("{role} needs {threshold} signatures, and there is one {key} key")]
    Threshold {
        /// The metadata role.
        role: String,
        /// The key.
        key: KeyRole,
        /// How many signatures it takes.
        threshold: u64,
    },
    /// A passphrase could not be asked for.
    #[error("no passphrase: {why}")]
    NoPassphrase {
        /// What happened.
        why: String,
    },
    /// A file on this machine cannot be read or written.
    #[error("{}: {source}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The repository is not trusted, or cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The repository cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PublishError {
    pub(super) fn local(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Local { path, source }
    }
}

impl Explain for PublishError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoRelease { .. } | Self::NoChannel { .. } => Exit::NotFound,
            Self::LostRace { .. } => Exit::Busy,
            Self::Differs { .. } => Exit::NotTrusted,
            Self::Local { source, .. } => match Exit::of_io(source) {
                Exit::NotFound => Exit::Usage,
                other => other,
            },
            Self::Trust(error) => error.exit(),
            Self::Store(error) => error.exit(),
            _ => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        let text = |text: &str| vec![text.to_owned()];
        match self {
            Self::AlreadyPublished { .. } | Self::Taken { .. } => {
                text("versions are immutable; tag a new one. Nothing was changed")
            }
            Self::NoRelease { version, known, .. } => suggestion(&version.to_string(), known),
            Self::NoChannel { channel, known } => suggestion(channel.as_str(), known),
            Self::LostRace { .. } => text("nothing is visible to readers; try again"),
            Self::Differs { .. } => text(
                "its name carries another digest than its contents have: remove it, then try again",
            ),
            Self::Occupied { .. } => text(
                "nothing was changed; choose an empty place, or empty this one if an earlier \
                 `pack repo init` was interrupted",
            ),
            Self::NoKey { .. } => text("`pack keys new` makes keys; --keys says where they are"),
            Self::KeyExists { .. } => text("nothing was written; choose another folder"),
            Self::Key { source: KeyError::WrongPassphrase, .. } | Self::NoPassphrase { .. } => {
                text("the passphrase is asked for on a terminal, or taken from CUTOVER_PASSPHRASE")
            }
            Self::OtherKey { .. } => text("use the keys that the repository was made with"),
            Self::Threshold { .. } | Self::Key { .. } | Self::Local { .. } => Vec::new(),
            Self::Trust(error) => error.hints(),
            Self::Store(error) => error.hints(),
        }
    }
}

/// What may have been meant.
fn suggestion(wanted: &str, known: &[String]) -> Vec<String> {
    if known.is_empty() {
        return vec!["there is none yet".to_owned()];
    }
    let near = nearest(wanted, known.iter().map(String::as_str));
    if near.is_empty() {
        let newest: Vec<_> = known.iter().rev().take(8).map(String::as_str).collect();
        return vec![format!("there are: {}", newest.join(", "))];
    }
    vec![format!("the nearest: {}", near.join(", "))]
}
