//! What a commit's tree holds, as `git ls-tree` lists it.

use std::collections::BTreeMap;

/// Everything in a commit's tree, by path from its top.
#[derive(Debug)]
pub(super) struct Listing(BTreeMap<Vec<u8>, Object>);

/// One path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// What is there.
    pub(super) kind: Kind,
    /// The id of its contents.
    pub(super) id: String,
}

/// What is at a path of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A folder; it comes before what it holds.
    Folder,
    /// A regular file.
    File {
        /// Mode 755 instead of 644.
        executable: bool,
    },
    /// A symbolic link.
    Link,
    /// Another repository, whose files are not here.
    Submodule,
}

impl Listing {
    /// Reads the output of `git ls-tree -r -t -z`; `None` where it is not of that form.
    pub(super) fn parse(output: &[u8]) -> Option<Self> {
        let lines = output.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        let mut all = BTreeMap::new();
        for line in lines {
            let tab = line.iter().position(|byte| *byte == b'\t')?;
            let mut words = str::from_utf8(&line[..tab]).ok()?.split(' ');
            let mode = u32::from_str_radix(words.next()?, 8).ok()?;
            let kind = match mode & 0o170_000 {
                0o040_000 => Kind::Folder,
                0o100_000 => Kind::File { executable: mode & 0o100 != 0 },
                0o120_000 => Kind::Link,
                0o160_000 => Kind::Submodule,
                _ => return None,
            };
            let id = words.nth(1)?.to_owned();
            // A crafted tree may name a path twice; which one counts would be a guess.
            if all.insert(line[tab + 1..].to_vec(), Object { kind, id }).is_some() {
                return None;
            }
        }
        Some(Self(all))
    }

    /// What is at this path.
    pub(super) fn find(&self, path: &[u8]) -> Option<&Object> {
        self.0.get(path)
    }

    /// All paths, folders before what they hold.
    pub(super) fn all(&self) -> impl Iterator<Item = (&[u8], &Object)> {
        self.0.iter().map(|(path, object)| (path.as_slice(), object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text =
            b"040000 tree 1\ta\x00100755 blob 2\ta/b\tc\x00120000 blob 3\tl\x00160000 commit 4\ts\0";
        let listing = Listing::parse(text).unwrap();
        let kind = |path: &[u8]| listing.find(path).map(|it| (it.kind, it.id.as_str()));
        assert_eq!(kind(b"a"), Some((Kind::Folder, "1")));
        assert_eq!(kind(b"a/b\tc"), Some((Kind::File { executable: true }, "2")));
        assert_eq!(kind(b"l"), Some((Kind::Link, "3")));
        assert_eq!(kind(b"s"), Some((Kind::Submodule, "4")));
        assert_eq!(kind(b"x"), None);
        for odd in [&b"040000 tree 1"[..], b"0 x 1\ta", b"100644 blob 1\ta\x00100644 blob 2\ta"] {
            assert!(Listing::parse(odd).is_none());
        }
    }
}
