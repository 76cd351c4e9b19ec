//! Paths inside a release, and names of files in a repository.
//!
//! A path of a release names something *below* the prefix and nothing else. What could reach
//! out of it, or mean two things to two programs, is refused when the path is parsed: absolute
//! paths, empty, `.` and `..` components, NUL and control characters, over-long
//! components. Whatever holds a [`RelPath`] need not check again. Clashes *between* paths
//! (repeats, a file used as a folder) are the file list's business.

use std::borrow::Borrow;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest path in bytes: with the prefix of a node it stays under Linux' `PATH_MAX` (4096).
pub const LONGEST_PATH: usize = 2048;
/// Longest component in bytes (`NAME_MAX`).
pub const LONGEST_COMPONENT: usize = 255;

/// A confined relative path: UTF-8, components joined by `/`. Ordered by bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

/// A path that must not appear in a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsafe path {path:?}: {why}")]
pub struct UnsafePath {
    path: String,
    why: &'static str,
}

fn objection(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.len() > LONGEST_PATH {
        return Some("it is longer than 2048 bytes");
    }
    if path.chars().any(char::is_control) {
        return Some("it has a control character");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("it has an empty component"),
        "." => Some("it has a `.` component"),
        ".." => Some("it has a `..` component"),
        long if long.len() > LONGEST_COMPONENT => Some("a component is longer than 255 bytes"),
        _ => None,
    })
}

impl RelPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the operating system, relative.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The folder that holds it, or `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The path of `child` below this one.
    pub fn join(&self, child: &str) -> Result<Self, UnsafePath> {
        format!("{self}/{child}").parse()
    }
}

impl TryFrom<String> for RelPath {
    type Error = UnsafePath;

    fn try_from(path: String) -> Result<Self, UnsafePath> {
        match objection(&path) {
            None => Ok(Self(path)),
            Some(why) => Err(UnsafePath { path, why }),
        }
    }
}

impl FromStr for RelPath {
    type Err = UnsafePath;

    fn from_str(path: &str) -> Result<Self, UnsafePath> {
        Self::try_from(path.to_owned())
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> String {
        path.0
    }
}

impl Borrow<str> for RelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a file beside a descriptor: one component, so that it cannot lead elsewhere in the
/// repository. It has no length of its own, because a version has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// A name that could lead out of its folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsafe file name {name:?}: {why}")]
pub struct UnsafeName {
    name: String,
    why: &'static str,
}

impl FileName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FileName {
    type Error = UnsafeName;

    fn try_from(name: String) -> Result<Self, UnsafeName> {
        let why = match name.as_str() {
            "" => "it is empty",
            "." | ".." => "it names a folder",
            slash if slash.contains('/') => "it has a `/`",
            control if control.chars().any(char::is_control) => "it has a control character",
            _ => return Ok(Self(name)),
        };
        Err(UnsafeName { name, why })
    }
}

impl FromStr for FileName {
    type Err = UnsafeName;

    fn from_str(name: &str) -> Result<Self, UnsafeName> {
        Self::try_from(name.to_owned())
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> String {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn file_names() {
        for good in ["files.json.zst", "weave-1.0.0+a.tar.zst", "..a", "ünï"] {
            assert!(good.parse::<FileName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "/", "a/b", "../a", "/etc/passwd", "a\0", "a\nb"] {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn confined() {
        for good in ["a", "a/b", ".hidden", "a/..b", "sp ace", "ünï", "a-b/c.d"] {
            assert!(good.parse::<RelPath>().is_ok(), "{good}");
        }
        let bad = ["", "/", "/a", "a/", "a//b", ".", "./a", "..", "a/../b", "a\0b", "a\nb"];
        for bad in bad {
            assert!(bad.parse::<RelPath>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(256).parse::<RelPath>().is_err());
    }

    proptest! {
        /// Whatever is accepted stays below any folder that it is joined to, component by component.
        #[test]
        fn what_is_accepted_is_confined(path in r"([./aé \\]|\.\.|\PC|[\x00-\x1f]){0,12}") {
            let base = Path::new("/base/folder");
            if let Ok(accepted) = path.parse::<RelPath>() {
                let joined = base.join(accepted.as_path());
                prop_assert!(joined.starts_with(base) && joined != base);
                let is_plain = |part: std::path::Component<'_>| matches!(part, Component::Normal(_));
                prop_assert!(accepted.as_path().components().all(is_plain));
                // Nothing was normalised away: it is the same path for the kernel and for us.
                prop_assert_eq!(accepted.as_path().components().count(), path.split('/').count());
                prop_assert!(!path.chars().any(char::is_control));
                prop_assert_eq!(accepted.to_string(), path.as_str());
            }
            if let Ok(name) = path.parse::<FileName>() {
                let joined = base.join(name.as_str());
                prop_assert_eq!(joined.parent(), Some(base));
            }
        }
    }
}
