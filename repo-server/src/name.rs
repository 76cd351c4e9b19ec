//! What a path in a repository says about the file.

use cutover_formats::digest::Digest;
use cutover_formats::layout::TIMESTAMP;
use cutover_formats::minisign;

/// A file of a repository, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// The one file that changes.
    Timestamp,
    /// `<N>.root.json`.
    Root(u64),
    /// `<N>.snapshot.json`.
    Snapshot(u64),
    /// `<N>.<role>.json` of any other role.
    Metadata,
    /// `<sha256>.<name>`, with the digest and its text.
    Target(Digest, &'a str),
    /// `<sha256>.<name>.minisig`: the signature of the target with that digest.
    Signature,
    /// Below `targets/`, but without a digest: served, never published.
    Other,
}

impl<'a> Name<'a> {
    /// What `path` names, or `None` where it is outside of the repository's two folders.
    #[must_use]
    pub fn of(path: &'a str) -> Option<Self> {
        if path == TIMESTAMP {
            return Some(Self::Timestamp);
        }
        if let Some(name) = path.strip_prefix("metadata/") {
            let (version, role) = versioned(name)?;
            return Some(match role {
                "root" => Self::Root(version),
                "snapshot" => Self::Snapshot(version),
                _ => Self::Metadata,
            });
        }
        let (_, name) = path
            .strip_prefix("targets/")
            .map(|rest| rest.rsplit_once('/').unwrap_or(("", rest)))?;
        let digest = name.split_once('.').filter(|(_, rest)| !rest.is_empty());
        Some(match digest.and_then(|(text, _)| Some((text.parse().ok()?, text))) {
            Some(_) if name.ends_with(minisign::EXTENSION) => Self::Signature,
            Some((digest, text)) => Self::Target(digest, text),
            None => Self::Other,
        })
    }
}

/// N and the role of `<N>.<role>.json`, where N has no leading zero.
pub(crate) fn versioned(name: &str) -> Option<(u64, &str)> {
    let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
    let is_number = !version.starts_with('0') && version.bytes().all(|byte| byte.is_ascii_digit());
    let is_role = !role.is_empty() && !name.contains('/');
    (is_number && is_role).then_some((version.parse().ok()?, role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let digest = Digest::of(b"");
        let (text, target) = (digest.to_string(), format!("targets/a/b/{digest}.x.json"));
        assert_eq!(Name::of(&target), Some(Name::Target(digest, &text)));
        assert_eq!(Name::of("metadata/timestamp.json"), Some(Name::Timestamp));
        assert_eq!(Name::of("metadata/12.releases-0f.json"), Some(Name::Metadata));
        assert_eq!(Name::of("metadata/12.root.json"), Some(Name::Root(12)));
        assert_eq!(Name::of("metadata/1.snapshot.json"), Some(Name::Snapshot(1)));
        let signature = format!("targets/a/b/{digest}.x.tar.zst.minisig");
        assert_eq!(Name::of(&signature), Some(Name::Signature));
        assert_eq!(Name::of("targets/a/x.minisig"), Some(Name::Other));
        assert_eq!(Name::of("targets/readme"), Some(Name::Other));
        assert_eq!(Name::of(&format!("targets/{digest}.")), Some(Name::Other));
        for outside in [
            "metadata/x.json",
            "metadata/01.root.json",
            "metadata/1..json",
            "metadata/1.json",
            "metadata/1.a/2.b.json",
            "metadata",
            "targets",
            "keys/root.pem",
            "metadata/.1.json",
        ] {
            assert_eq!(Name::of(outside), None, "{outside}");
        }
    }
}
