//! The file list, `files.json.zst`: what must stand in a prefix, and nothing else.
//!
#![doc = include_str!("../docs/files.md")]

mod check;
mod fold;
mod text;

use semver::Version;

use crate::digest::Digest;
use crate::exit::{Exit, Explain};
use crate::format::{Format, UnknownFormat};
use crate::name::Product;
use crate::path::RelPath;
use fold::{Folded, Relation};

/// The file list's format.
pub const FORMAT: Format = Format { name: "cutover.files", major: 1, minor: 1 };

/// Most bytes a compressed file list may have.
pub const LARGEST: u64 = 256 << 20;

/// Most entries a file list may have.
pub const MOST_ENTRIES: u64 = 1 << 22;

/// Most bytes that all files together may have: 4 TiB, so that a frame table fits into memory.
pub const MOST_BYTES: u64 = 1 << 42;

/// Latest time that a tar header can hold (the year 2242).
pub const LATEST: u64 = 0o777_7777_7777;

/// Longest target of a link, in bytes.
pub const LONGEST_TARGET: usize = 2048;

/// Everything that stands in a prefix. Whoever holds one knows that it is safe to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileList {
    product: Product,
    version: Version,
    time: u64,
    entries: Vec<Entry>,
}

/// One path of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands, below the prefix.
    pub path: RelPath,
    /// What stands there.
    pub kind: Kind,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder, mode 755.
    Folder,
    /// A regular file.
    File {
        /// Mode 755 instead of 644.
        executable: bool,
        /// Bytes.
        size: u64,
        /// Digest of the contents.
        sha256: Digest,
    },
    /// A symbolic link that stays in the prefix.
    Link {
        /// What it says: relative to the folder that holds it.
        target: String,
    },
}

/// An entry without its digest: what decides where everything lies in a bundle, known before a
/// single file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Where it stands, below the prefix.
    pub path: &'a RelPath,
    /// What stands there.
    pub shape: Shape<'a>,
}

/// A [`Kind`] without the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Mode 755 instead of 644.
        executable: bool,
        /// Bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// What it says.
        target: &'a str,
    },
}

/// What signed metadata says of a file list, to which it is held.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The product.
    pub product: &'a Product,
    /// The version.
    pub version: &'a Version,
    /// The modification time of every file.
    pub time: u64,
    /// Digest of the compressed list.
    pub sha256: Digest,
    /// Bytes of the compressed list.
    pub size: u64,
    /// Digest of the uncompressed list.
    pub text_sha256: Digest,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the sizes of all files.
    pub bytes: u64,
}

/// A file list that is refused, whole.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFileList {
    /// Not the bytes that the descriptor signs for.
    #[error("file list: {what} is {found}, the descriptor says {expected}")]
    Unexpected {
        /// What differs.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Not one well-formed zstd frame of a permitted size.
    #[error("file list: {0}")]
    Compression(&'static str),
    /// Another format or a newer one.
    #[error("file list: {0}")]
    Format(#[from] UnknownFormat),
    /// Not JSON, or not of the shape the format prescribes.
    #[error("file list: {0}")]
    Shape(#[from] serde_json::Error),
    /// One entry is not acceptable.
    #[error("file list: {path:?} {objection}")]
    Entry {
        /// The path, as the list has it.
        path: String,
        /// What is wrong with it.
        objection: Objection,
    },
    /// The whole is larger than any bundle can be.
    #[error("file list: {what} {found}, at most {most} is allowed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        most: u64,
    },
}

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The path could reach out of the prefix or mean two things.
    #[error("is no safe path: {0}")]
    Path(String),
    /// Neither `file`, `folder` nor `link`.
    #[error("is of the unknown kind `{0}`")]
    UnknownKind(String),
    /// The mode is neither 644 nor 755.
    #[error("has mode `{0}`; only 644 and 755 are allowed")]
    Mode(String),
    /// A field of the kind is missing, or one of another kind is there.
    #[error("has the wrong fields for its kind: `{0}`")]
    Field(&'static str),
    /// The entries are not in the order of their path bytes.
    #[error("is out of order, it stands after {after:?}")]
    Order {
        /// The entry before.
        after: String,
    },
    /// The path is there twice.
    #[error("is listed twice")]
    Repeated,
    /// Another path differs by characters that are not seen.
    #[error("differs from {with:?} by characters that nobody sees")]
    Unseen {
        /// The other path.
        with: String,
    },
    /// The folder that holds it is not listed.
    #[error("stands in a folder that is not listed")]
    NoFolder,
    /// Its path passes through a file or a link.
    #[error("passes through {through:?}, which is no folder")]
    Through {
        /// The file or link.
        through: String,
    },
    /// The link is absolute, empty, over-long or holds control characters.
    #[error("is a link with an unsafe target {target:?}: {why}")]
    Target {
        /// What the link says.
        target: String,
        /// Why that is refused.
        why: &'static str,
    },
}

impl Explain for InvalidFileList {
    fn exit(&self) -> Exit {
        match self {
            Self::Format(error) => error.exit(),
            _ => Exit::NotTrusted,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Format(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl Entry {
    /// The entry without its digest.
    #[must_use]
    pub fn member(&self) -> Member<'_> {
        let shape = match &self.kind {
            Kind::Folder => Shape::Folder,
            Kind::File { executable, size, .. } => {
                Shape::File { executable: *executable, size: *size }
            }
            Kind::Link { target } => Shape::Link { target },
        };
        Member { path: &self.path, shape }
    }
}

impl Shape<'_> {
    /// Permission bits: 755 or 644 (777 for a link, which has none of its own).
    #[must_use]
    pub fn mode(&self) -> u32 {
        match self {
            Self::Folder | Self::File { executable: true, .. } => 0o755,
            Self::File { executable: false, .. } => 0o644,
            Self::Link { .. } => 0o777,
        }
    }

    /// Bytes of contents.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Folder | Self::Link { .. } => 0,
        }
    }
}

/// Holds members to every rule of a file list, before anything is read or created.
pub fn check<'a>(
    time: u64,
    members: impl IntoIterator<Item = Member<'a>>,
) -> Result<(), InvalidFileList> {
    check::members(time, members)
}

/// Pairs of paths that are one path on a file system that ignores case, or how characters are composed:
/// each such path with the first one that it would meet.
#[must_use]
pub fn folding_names<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Vec<(&'a str, &'a str)> {
    let mut folded = Folded::default();
    let pair = |path: &'a RelPath| match folded.add(path.as_str()) {
        Relation::Folds(first) | Relation::Unseen(first) => Some((first, path.as_str())),
        Relation::Apart => None,
    };
    paths.into_iter().filter_map(pair).collect()
}

/// What is published of a list whose JSON is `text`.
#[must_use]
pub fn compress(text: &[u8]) -> Vec<u8> {
    text::compress(text)
}

impl FileList {
    /// A list of `entries`, which must be in the order of their path bytes.
    pub fn new(
        product: Product,
        version: Version,
        time: u64,
        entries: Vec<Entry>,
    ) -> Result<Self, InvalidFileList> {
        check(time, entries.iter().map(Entry::member))?;
        Ok(Self { product, version, time, entries })
    }

    /// Reads a compressed list and holds it to what is signed. Everything is checked: whoever has
    /// the result need not check again.
    pub fn parse(compressed: &[u8], expected: &Expected<'_>) -> Result<Self, InvalidFileList> {
        text::parse(compressed, expected)
    }

    /// The bytes that are published: JSON, an entry a line, compressed. Equal lists have equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        compress(&self.to_json())
    }

    /// The list as JSON, an entry a line.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        text::write(self)
    }

    /// The product.
    #[must_use]
    pub fn product(&self) -> &Product {
        &self.product
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The modification time of every file, seconds since 1970.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The entries, in the order of their path bytes.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Pairs of its paths that are one path where file names are folded.
    #[must_use]
    pub fn folding_names(&self) -> Vec<(&str, &str)> {
        folding_names(self.entries.iter().map(|entry| &entry.path))
    }

    /// Sum of the sizes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.member().shape.size()).sum()
    }
}
