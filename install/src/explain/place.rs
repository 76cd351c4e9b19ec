//! From what was typed to a path in a release's prefix.

use std::path::{Component, Path, PathBuf};

use cutover_formats::path::RelPath;
use cutover_formats::version::Version;
use serde::Serialize;

use crate::disk::DiskError;
use crate::node::{Node, NodeError};
use crate::root::Root;

/// A path in a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Of which release.
    pub version: Version,
    /// Whether that is the current one.
    pub current: bool,
    /// Below the prefix.
    pub path: RelPath,
}

/// Where `typed` may be meant, the likeliest first: from `folder` on, then below the current prefix;
/// each as it was typed, then with all links on the way followed.
///
/// The last component is never followed: a link is to be explained itself.
pub fn places(node: &Node, folder: &Path, typed: &Path) -> Result<Vec<Place>, NodeError> {
    let current = node.current()?;
    let mut paths = vec![folder.join(typed)];
    paths.extend(current.as_ref().map(|version| node.root.prefix(version).join(typed)));
    let real = std::fs::canonicalize(node.root.path());
    let real = Root::new(real.map_err(|error| DiskError::new("find", node.root.path(), error))?);
    let candidates = paths
        .iter()
        .flat_map(|path| [Some((&node.root, plain(path))), follow(path).map(|path| (&real, path))]);
    let mut places: Vec<Place> = Vec::new();
    for (root, path) in candidates.flatten() {
        let place = place(root, current.as_ref(), &path);
        places.extend(place.filter(|place| !places.contains(place)));
    }
    let sealed = node.sealed()?;
    places.retain(|place| sealed.contains(&place.version));
    Ok(places)
}

/// Without `.` and `..`, as if there were no links.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

fn follow(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    Some(std::fs::canonicalize(path.parent()?).ok()?.join(name))
}

fn place(root: &Root, current: Option<&Version>, path: &Path) -> Option<Place> {
    let (version, rest) = match (path.strip_prefix(root.current()), current) {
        (Ok(rest), Some(version)) => (version.clone(), rest),
        _ => {
            let rest = path.strip_prefix(root.releases()).ok()?;
            let mut components = rest.components();
            let version = components.next()?.as_os_str().to_str()?.parse().ok()?;
            (version, components.as_path())
        }
    };
    let path = rest.to_str()?.parse().ok()?;
    Some(Place { current: current == Some(&version), version, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn through_current_and_by_version() {
        let root = Root::new("/srv/weave".into());
        let current = Version::new(1, 1, 0);
        let place = |path: &str| {
            let place = place(&root, Some(&current), &plain(Path::new(path)))?;
            Some(format!("{} {} {}", place.version, place.path, place.current))
        };
        assert_eq!(place("/srv/weave/current/a/b").as_deref(), Some("1.1.0 a/b true"));
        assert_eq!(place("/srv/weave/releases/1.1.0/a").as_deref(), Some("1.1.0 a true"));
        assert_eq!(place("/srv/weave/releases/1.0.0/x/../a").as_deref(), Some("1.0.0 a false"));
        for outside in [
            "/etc/passwd",
            "/srv/weave/current",
            "/srv/weave/releases/1.0.0",
            "/srv/weave/releases/x/a",
            "/srv/weave/current/../node.toml",
        ] {
            assert_eq!(place(outside), None, "{outside}");
        }
    }
}
