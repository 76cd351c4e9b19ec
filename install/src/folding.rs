//! Releases whose names a node cannot keep apart.
//!
//! A release may have paths that differ only by case, or by how their characters are composed. They
//! are one path on a file system that folds names, so there such a release is refused before its
//! contents are fetched.

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::FileList;
use cutover_formats::version::Version;

use std::path::Path;

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
    check_by(root, list, disk::same_name)
}

/// The same, where `same_name` gives the first of some pairs of names that is one name in a folder.
fn check_by<'l>(
    root: &Root,
    list: &'l FileList,
    same_name: impl FnOnce(&Path, Names<'l>) -> Result<Option<Pair<'l>>, DiskError>,
) -> Result<(), FoldingError> {
    let pairs = list.folding_names();
    if pairs.is_empty() {
        return Ok(());
    }
    let place = root.releases();
    let names = pairs.into_iter().take(MOST).filter_map(|(first, second)| {
        // Where paths differ, the first parts that do are names in the same folder, or in two of which
        // the pair before is about.
        first.split('/').zip(second.split('/')).find(|(a, b)| a != b)
    });
    match same_name(&place, names.collect())? {
        None => Ok(()),
        Some((first, second)) => {
            let (first, second) = (first.to_owned(), second.to_owned());
            Err(FoldingError::OneName { version: list.version().clone(), first, second, place })
        }
    }
}

type Pair<'l> = (&'l str, &'l str);
type Names<'l> = Vec<Pair<'l>>;

#[cfg(test)]
mod tests {
    use cutover_formats::filelist::{Entry, Kind};

    use super::*;

    fn list(paths: &[&str]) -> FileList {
        let entry = |path: &&str| {
            let kind = match path.ends_with('/') {
                true => Kind::Folder,
                false => Kind::Link { target: "elsewhere".to_owned() },
            };
            Entry { path: path.trim_end_matches('/').parse().unwrap(), kind }
        };
        let entries = paths.iter().map(entry).collect();
        FileList::new("tiny".parse().unwrap(), "1.0.0".parse().unwrap(), 0, entries).unwrap()
    }

    /// No file system that folds names can be had where these tests run: their kernel has none. So what a
    /// folder makes of two names is simulated; `disk::names` tests how a real one is asked.
    #[test]
    fn what_cannot_be_kept_apart_is_refused() {
        let root = Root::new("/srv/weave".into());
        let check = |paths: &[&str]| {
            let list = list(paths);
            let found = check_by(&root, &list, |place, names| {
                assert_eq!(place, root.releases());
                Ok(names.into_iter().find(|(a, b)| a.to_lowercase() == b.to_lowercase()))
            });
            found.map_err(|error| (error.exit(), error.to_string()))
        };
        assert_eq!(check(&["a", "b"]), Ok(()));
        // These differ by composition, which the simulated one does not fold.
        assert_eq!(check(&["cafe\u{301}", "caf\u{e9}"]), Ok(()));
        for (paths, names) in [
            (&["A", "a"][..], "`A` and `a`"),
            (&["lib/", "lib/Net/", "lib/Net/x", "lib/net/", "lib/net/x"], "`Net` and `net`"),
            (&["lib/", "lib/READ", "lib/read"], "`READ` and `read`"),
        ] {
            let refused = check(paths).unwrap_err();
            let words =
                format!("1.0.0 has the names {names}, which are one name in /srv/weave/releases");
            assert_eq!(refused, (Exit::Usage, words));
        }
    }
}
