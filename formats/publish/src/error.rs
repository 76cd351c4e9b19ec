//! How publishing fails.

use std::io;
use std::path::PathBuf;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::keys::file::KeyError;
use cutover_formats::name::{Channel, Product};
use cutover_formats::tuf::fields::Malformed;
use cutover_formats::tuf::pending::{InvalidPending, Pending};
use cutover_formats::tuf::review::Objections;
use cutover_formats::version::Version;
use cutover_repository::client::TrustError;
use cutover_repository::private::PrivateError;
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
    /// The release was taken back.
    #[error("{product} {version} was withdrawn {why}")]
    Withdrawn {
        /// The product.
        product: Product,
        /// The version.
        version: Version,
        /// From where, and why.
        why: String,
    },
    /// The channel points at a newer version.
    #[error("{channel} is {now} now, which is newer than {version}")]
    Older {
        /// The channel, and of which product.
        channel: String,
        /// Where it was to point.
        version: Version,
        /// Where it points.
        now: Version,
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
    /// Where a signature is to be, something else stands.
    #[error("{path} is in the repository already, and no key of the release signed it")]
    OtherSignature {
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
    #[error("the key {}: {source}", file.display())]
    Key {
        /// Its file.
        file: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A key file is open to others.
    #[error("the key {} can be read by others (mode {mode:o})", file.display())]
    Exposed {
        /// Its file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
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
    /// The place where a key is kept does not sign.
    #[error("the key {}: {why}", file.display())]
    KeyStore {
        /// The file that points to it.
        file: PathBuf,
        /// What happened.
        why: String,
    },
    /// More signatures are needed than the keys here give.
    #[error("{role} needs {threshold} signatures, and {found} of its keys are here")]
    Threshold {
        /// The metadata role.
        role: String,
        /// How many signatures it takes.
        threshold: u64,
        /// How many keys of it there are.
        found: u64,
    },
    /// The change waits for more signatures.
    #[error("signatures are missing: {}", describe(missing))]
    Incomplete {
        /// The change, with the signatures that it has.
        pending: Box<Pending>,
        /// Who is missing.
        missing: Vec<Missing>,
    },
    /// The repository has moved on since a change was made.
    #[error("{role} has changed since this change was made from version {base} of it")]
    Stale {
        /// The metadata role.
        role: String,
        /// The version the change was made from.
        base: u64,
    },
    /// A file is no pending change.
    #[error("{}: {source}", path.display())]
    Pending {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidPending,
    },
    /// A file of a change is not the one that its metadata vouches for.
    #[error("{path} is not the file that the change vouches for")]
    OtherFile {
        /// The target path.
        path: String,
    },
    /// A change without the metadata that it was made from.
    #[error(
        "the change does not carry the metadata that it was made from, so what it leaves out cannot be seen"
    )]
    NothingToCompare,
    /// A change that `pack` never makes.
    #[error(transparent)]
    Objections(#[from] Objections),
    /// Readers would not see what a change says.
    #[error("readers would not see {what}: {why}")]
    Invisible {
        /// The role or the target path.
        what: String,
        /// Why not.
        why: String,
    },
    /// A change of metadata that does not make sense to readers.
    #[error("invalid change: {0}")]
    Malformed(#[from] Malformed),
    /// A role that has no keys to change, or does not exist.
    #[error("the repository has no role `{role}`")]
    NoRole {
        /// What was asked for.
        role: String,
        /// The roles that exist.
        known: Vec<String>,
    },
    /// A change of keys that cannot be.
    #[error("{role}: {why}")]
    KeyChange {
        /// The role.
        role: String,
        /// Why not.
        why: String,
        /// What to do instead.
        hint: String,
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
    /// A key, a pointer to one or the trusted root may have been changed by others, or cannot be read.
    #[error(transparent)]
    Private(#[from] PrivateError),
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

impl PublishError {
    /// Lets a change that has to wait say what it is, and carry the files that signers are shown.
    pub(super) fn of(self, what: &str, files: Vec<(String, String)>) -> Self {
        let Self::Incomplete { mut pending, missing } = self else { return self };
        what.clone_into(&mut pending.says);
        pending.files = files;
        Self::Incomplete { pending, missing }
    }
}

impl Explain for PublishError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoRelease { .. } | Self::NoChannel { .. } => Exit::NotFound,
            Self::LostRace { .. } => Exit::Busy,
            Self::Differs { .. } | Self::OtherSignature { .. } => Exit::NotTrusted,
            Self::Local { source, .. } => match Exit::of_io(source) {
                Exit::NotFound => Exit::Usage,
                other => other,
            },
            Self::Private(error) => error.exit(),
            Self::Trust(error) => error.exit(),
            Self::Store(error) => error.exit(),
            Self::Objections(error) => error.exit(),
            Self::Incomplete { .. }
            | Self::OtherFile { .. }
            | Self::NothingToCompare
            | Self::Invisible { .. } => Exit::NotTrusted,
            Self::Stale { .. } => Exit::Busy,
            Self::NoRole { .. } => Exit::NotFound,
            Self::Pending { source, .. } => source.exit(),
            _ => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        let text = |text: &str| vec![text.to_owned()];
        match self {
            Self::AlreadyPublished { .. } | Self::Taken { .. } => {
                text("versions are immutable; tag a new one. Nothing was changed")
            }
            Self::Withdrawn { .. } => {
                text("nothing was changed; a withdrawal is for good: release another version")
            }
            Self::Older { .. } => text(
                "nothing was changed; nodes that follow it would go back: --older if that is meant",
            ),
            Self::NoRelease { version, known, .. } => suggestion(&version.to_string(), known),
            Self::NoChannel { channel, known } => suggestion(channel.as_str(), known),
            Self::LostRace { .. } => text("nothing is visible to readers; try again"),
            Self::Differs { .. } => text(
                "its name carries another digest than its contents have: remove it, then try again",
            ),
            Self::OtherSignature { .. } => text(
                "nothing was published; it may be of a key that was replaced: remove it, then try \
                 again",
            ),
            Self::Occupied { .. } => text(
                "nothing was changed; choose an empty place, or empty this one if an earlier \
                 `pack repo init` was interrupted",
            ),
            Self::NoKey { .. } => text(
                "nothing was published; --keys names the folder that holds it (keys that \
                 `pack keys new` makes count only in a new repository)",
            ),
            Self::Exposed { file, .. } => vec![format!("chmod 600 {}", file.display())],
            Self::KeyExists { .. } => text("nothing was written; choose another folder"),
            Self::Key { source: KeyError::WrongPassphrase, .. } | Self::NoPassphrase { .. } => {
                text("the passphrase is asked for on a terminal, or taken from CUTOVER_PASSPHRASE")
            }
            Self::OtherKey { .. } => text("use the keys that the repository was made with"),
            Self::Incomplete { .. } => text(
                "nothing was published; `pack keys sign FILE --keys DIR` adds signatures, and \
                 `pack repo apply FILE…` publishes when there are enough",
            ),
            Self::Stale { .. } => {
                text("nothing was published; make the change anew and have it signed again")
            }
            Self::NothingToCompare => text(
                "nothing was signed; ask for the file as `pack` wrote it, or have the change made anew",
            ),
            Self::NoRole { role, known } => suggestion(role, known),
            Self::KeyChange { hint, .. } => vec![hint.clone()],
            Self::Pending { source, .. } => source.hints(),
            Self::Objections(error) => error.hints(),
            Self::Invisible { .. } => {
                text("nothing was published; make the change anew, with the files that it is about")
            }
            Self::OtherFile { .. } => text("nothing was published; sign nothing of it"),
            Self::Threshold { .. }
            | Self::Key { .. }
            | Self::KeyStore { .. }
            | Self::Malformed(_)
            | Self::Local { .. } => Vec::new(),
            Self::Private(error) => error.hints(),
            Self::Trust(error) => error.hints(),
            Self::Store(error) => error.hints(),
        }
    }
}

/// Whose signatures a metadata file still lacks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// The metadata role.
    pub role: String,
    /// How many signatures are missing.
    pub count: u64,
    /// The ids of the keys that could give them.
    pub keys: Vec<String>,
}

/// Roles that lack the same are told once: 256 bins are signed by the same keys.
fn describe(missing: &[Missing]) -> String {
    let mut groups: Vec<(&Missing, usize)> = Vec::new();
    for one in missing {
        match groups
            .iter_mut()
            .find(|(first, _)| (first.count, &first.keys) == (one.count, &one.keys))
        {
            Some((_, more)) => *more += 1,
            None => groups.push((one, 0)),
        }
    }
    let each = groups.into_iter().map(|(one, more)| {
        let short: Vec<_> = one.keys.iter().map(|id| id.get(..8).unwrap_or(id)).collect();
        let others = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        format!("{}{others} needs {} more of {}", one.role, one.count, short.join(", "))
    });
    each.collect::<Vec<_>>().join("; ")
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
