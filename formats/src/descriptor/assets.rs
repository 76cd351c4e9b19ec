//! Files of a release that the gate serves by itself, under a path with the version in it.
//!
//! A page that was served by one release goes on asking for that release's pictures and scripts after
//! the next one has taken over. With the version in their path they are found as long as
//! the release is kept, whatever runs; and because a version never changes, they may be cached for ever.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::path::RelPath;

/// What stands for the release's version.
const VERSION: &str = "{version}";

/// Which files, and where clients find them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Assets {
    /// The path before the files' own, e.g. `/assets/{version}/`.
    pub path: AssetPath,
    /// The folder of the release that holds the files.
    pub folder: RelPath,
}

/// A path of a request that begins and ends with `/` and has `{version}` for one of its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetPath(String);

/// Not such a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no path for assets such as `/assets/{{version}}/`: {why}")]
pub struct InvalidAssetPath {
    path: String,
    why: &'static str,
}

impl AssetPath {
    /// The path for one release.
    #[must_use]
    pub fn of(&self, version: &Version) -> String {
        self.0.replace(VERSION, &version.to_string())
    }
}

impl FromStr for AssetPath {
    type Err = InvalidAssetPath;

    fn from_str(text: &str) -> Result<Self, InvalidAssetPath> {
        let refuse = |why| Err(InvalidAssetPath { path: text.to_owned(), why });
        let inner = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
        let Some(inner) = inner else { return refuse("it must begin and end with `/`") };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let word =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
        let (versions, words): (Vec<_>, Vec<_>) =
            inner.split('/').partition(|part| *part == VERSION);
        if versions.len() != 1 {
            return refuse("`{version}` must be one of its parts, once");
        }
        if !words.iter().all(|part| word(part)) {
            return refuse("its other parts may have letters, digits, `-`, `.`, `_` and `~`");
        }
        if inner.starts_with(".cutover/") {
            return refuse("the gate's own paths lie there");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AssetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AssetPath {
    type Error = InvalidAssetPath;

    fn try_from(text: String) -> Result<Self, InvalidAssetPath> {
        text.parse()
    }
}

impl From<AssetPath> for String {
    fn from(path: AssetPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_part_of_its_own() {
        let path: AssetPath = "/assets/{version}/".parse().unwrap();
        assert_eq!(path.of(&"1.2.3-rc.1".parse().unwrap()), "/assets/1.2.3-rc.1/");
        for good in ["/{version}/", "/a/b/{version}/c/", "/.well-known/{version}/"] {
            assert_eq!(good.parse::<AssetPath>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "/",
            "/assets/",
            "assets/{version}/",
            "/assets/{version}",
            "/assets/v{version}/",
            "/{version}/{version}/",
            "/assets//{version}/",
            "/../{version}/",
            "/a b/{version}/",
            "/a%2f/{version}/",
            "/{prefix}/{version}/",
            "/.cutover/{version}/",
        ] {
            assert!(bad.parse::<AssetPath>().is_err(), "{bad}");
        }
    }
}
