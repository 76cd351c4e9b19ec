//! Committed text that stands in a file's place and is not what it holds: pointers to contents that
//! are kept elsewhere, and encrypted text that a filter decrypts at check-out.

use super::scratch::Filter;

/// Bytes from the start of a file that show what it is.
pub(super) const HEAD: usize = 1024;

/// What stands in the place of a file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// A pointer of Git LFS.
    Lfs,
    /// A pointer of git-annex.
    Annex,
    /// Encrypted text of git-crypt or of a filter like it.
    Encrypted,
}

impl Placeholder {
    /// What a file with this filter and beginning is, if it is not what it seems. Where the
    /// attributes say `-filter`, what is committed is meant.
    pub(super) fn of(filter: &Filter, head: &[u8]) -> Option<Self> {
        if *filter == Filter::Unset {
            return None;
        }
        let filtered = matches!(filter, Filter::Named(_));
        let starts = |with: &[&str]| with.iter().any(|it| head.starts_with(it.as_bytes()));
        match () {
            // The second is what it was called before it had a name.
            () if starts(&["version https://git-lfs.github.com/spec/"])
                || starts(&["version https://hawser.github.com/spec/"]) =>
            {
                Some(Self::Lfs)
            }
            () if starts(&["/annex/objects/"]) => Some(Self::Annex),
            () if starts(&["\0GITCRYPT\0"]) => Some(Self::Encrypted),
            // What openssl and age write may be meant as it is, unless a filter is to decrypt it.
            () if filtered && starts(&["U2FsdGVkX1", "Salted__", "age-encryption.org/"]) => {
                Some(Self::Encrypted)
            }
            () => None,
        }
    }

    /// What a link is that points into the store of git-annex.
    pub(super) fn of_link(target: &[u8]) -> Option<Self> {
        let annex = b".git/annex/objects/";
        target.windows(annex.len()).any(|part| part == annex).then_some(Self::Annex)
    }

    /// What it is, for a message.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Lfs => "Git LFS pointer",
            Self::Annex => "git-annex pointer",
            Self::Encrypted => "encrypted text",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let named = Filter::Named("x".to_owned());
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
        for filter in [&Filter::Unspecified, &named] {
            assert_eq!(Placeholder::of(filter, pointer), Some(Placeholder::Lfs));
            assert_eq!(Placeholder::of(filter, b"/annex/objects/X"), Some(Placeholder::Annex));
            let crypt = Placeholder::of(filter, b"\0GITCRYPT\0abc");
            assert_eq!(crypt, Some(Placeholder::Encrypted));
            assert_eq!(Placeholder::of(filter, b"version 1"), None);
        }
        assert_eq!(Placeholder::of(&Filter::Unset, pointer), None);
        assert_eq!(Placeholder::of(&named, b"U2FsdGVkX1abc"), Some(Placeholder::Encrypted));
        assert_eq!(Placeholder::of(&Filter::Unspecified, b"U2FsdGVkX1abc"), None);
        let link = Placeholder::of_link(b"../.git/annex/objects/x/y");
        assert_eq!(link, Some(Placeholder::Annex));
        assert_eq!(Placeholder::of_link(b"../annex/objects/x"), None);
    }
}
