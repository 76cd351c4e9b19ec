//! Releases whose names a node cannot keep apart.
//!
//! A release may have paths that differ only by case, or by how their characters are composed. They
//! are one path on a file system that folds names, so there such a release is refused before its
//! contents are fetched.

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::FileList;
use cutover_formats::version::Version;

use crate::disk::{self, DiskError};
use crate::root::Root;

/// Most pairs of names that are tried out: the first tells as a rule, and a list may be crafted.
const MOST: usize = 256;

/// A release that cannot stand on this node's file system.
#[derive(Debug, thiserror::Error)]
pub enum FoldingError {
    /// Two of its names are one here.
    #[error(
        "{version} has the names `{first}` and `{second}`, which are one name in {}", place.display()
    )]
    OneName {
        /// The release.
        version: Version,
        /// A name.
        first: String,
        /// The other.
        second: String,
        /// The folder of prefixes.
        place: std::path::PathBuf,
    },
    /// That could not be tried out.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for FoldingError {
    fn exit(&self) -> Exit {
        match self {
            Self::OneName { .. } => Exit::Usage,
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::OneName { .. } => vec![
                "nothing was fetched; install it on a file system that keeps such names apart, or \
                 ask for a release with `portable-names = true` in its release.toml"
                    .to_owned(),
            ],
            Self::Disk(error) => error.hints(),
        }
    }
}

/// Refuses a list with names that the node's file system takes for one another.
pub fn check(root: &Root, list: &FileList) -> Result<(), FoldingError> {
    let pairs = list.folding_names();
    if pairs.is_empty() {
        return Ok(());
    }
    let place = root.releases();
    let names = pairs.iter().take(MOST).filter_map(|(first, second)| {
        // Where paths differ, the first parts that do are names in the same folder, or in two of which
        // the pair before is about.
        first.split('/').zip(second.split('/')).find(|(a, b)| a != b)
    });
    match disk::same_name(&place, names)? {
        None => Ok(()),
        Some((first, second)) => {
            let (first, second) = (first.to_owned(), second.to_owned());
            Err(FoldingError::OneName { version: list.version().clone(), first, second, place })
        }
    }
}
