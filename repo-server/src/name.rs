//! What a path in a repository says about the file.

use cutover_formats::digest::Digest;
use cutover_formats::layout::TIMESTAMP;
use cutover_formats::minisign;

/// A file of a repository, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    /// The one file that changes.
    Timestamp,
    /// `<N>.<role>.json`.
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
            return is_versioned(name).then_some(Self::Metadata);
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

/// `<N>.<role>.json`, where N has no leading zero.
fn is_versioned(name: &str) -> bool {
    let role = name.strip_suffix(".json").and_then(|name| name.split_once('.'));
    role.is_some_and(|(version, role)| {
        !role.is_empty()
            && !name.contains('/')
            && !version.starts_with('0')
            && version.bytes().all(|byte| byte.is_ascii_digit())
            && version.parse::<u64>().is_ok()
    })
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
