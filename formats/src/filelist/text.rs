//! Between a file list and its bytes.
//!
//! The bytes are foreign until they are held to the digest that the descriptor signs, which
//! happens first, and again once it is decompressed. After that a signer may still have been careless or coerced: decompression is
//! one-shot into a buffer whose size follows from the number of entries that is signed, so neither
//! a compression bomb nor a window of the sender's choice costs memory; JSON depth is bounded by
//! the parser and repeated fields are refused.

use std::borrow::Cow;

use semver::Version;
use serde::Deserialize;
use zstd::zstd_safe;

use super::{Entry, Expected, FORMAT, FileList, InvalidFileList, Kind, LARGEST, Objection};
use crate::digest::Digest;
use crate::name::Product;
use crate::path::RelPath;

/// By measurement: digests do not compress, so level 1 makes 298 KB of the list of 10,000 entries that
/// level 3 makes 316 KB of and level 19, eighty times slower, 274 KB.
const LEVEL: i32 = 1;

/// Most bytes of JSON that one entry takes: path and target, every byte escaped, and the rest.
const LARGEST_ENTRY: u64 = 6 * 2 * 2048 + 256;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    product: Product,
    version: Version,
    time: u64,
    #[serde(borrow)]
    entries: Vec<RawEntry<'a>>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    mode: Option<&'a str>,
    size: Option<u64>,
    sha256: Option<Digest>,
    target: Option<String>,
}

pub(super) fn parse(
    compressed: &[u8],
    expected: &Expected<'_>,
) -> Result<FileList, InvalidFileList> {
    same("size", compressed.len() as u64, expected.size)?;
    same("sha256", Digest::of(compressed), expected.sha256)?;
    let json = decompress(compressed, expected.entries)?;
    same("text_sha256", Digest::of(&json), expected.text_sha256)?;
    let raw = read(&json)?;
    same("product", &raw.product, expected.product)?;
    same("version", &raw.version, expected.version)?;
    same("time", raw.time, expected.time)?;
    same("number of entries", raw.entries.len() as u64, expected.entries)?;
    let entries = raw.entries.into_iter().map(RawEntry::accept).collect::<Result<_, _>>()?;
    let list = FileList::new(raw.product, raw.version, raw.time, entries)?;
    same("sum of file sizes", list.bytes(), expected.bytes)?;
    Ok(list)
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    found: T,
    expected: T,
) -> Result<(), InvalidFileList> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_string(), expected.to_string());
    Err(InvalidFileList::Unexpected { what, found, expected })
}

fn decompress(compressed: &[u8], entries: u64) -> Result<Vec<u8>, InvalidFileList> {
    let refuse = |why| InvalidFileList::Compression(why);
    if compressed.len() as u64 > LARGEST {
        return Err(refuse("it is larger than 256 MiB"));
    }
    if zstd_safe::find_frame_compressed_size(compressed) != Ok(compressed.len()) {
        return Err(refuse("it is not exactly one zstd frame"));
    }
    let size = zstd_safe::get_frame_content_size(compressed).ok().flatten();
    let size = size.ok_or(refuse("its frame does not say how large it is"))?;
    let most = entries.saturating_mul(LARGEST_ENTRY).saturating_add(4096).min(4 * LARGEST);
    if size > most {
        return Err(refuse("it says to be larger than its entries can make it"));
    }
    let capacity = usize::try_from(size).map_err(|_| refuse("it does not fit into memory"))?;
    let json = zstd::bulk::decompress(compressed, capacity);
    let json = json.map_err(|_| refuse("it is corrupt"))?;
    if json.len() == capacity { Ok(json) } else { Err(refuse("it is corrupt")) }
}

fn read(json: &[u8]) -> Result<RawList<'_>, InvalidFileList> {
    let list: RawList<'_> = serde_json::from_slice(json).map_err(|error| {
        // A newer major may have any shape: say so rather than what is missing.
        let head = serde_json::from_slice(json).ok();
        match head.map(|head: Head<'_>| FORMAT.accept(&head.format)) {
            Some(Err(format)) => InvalidFileList::Format(format),
            _ => InvalidFileList::Shape(error),
        }
    })?;
    FORMAT.accept(&list.format)?;
    Ok(list)
}

impl RawEntry<'_> {
    fn accept(self) -> Result<Entry, InvalidFileList> {
        let refused =
            |path: &str, objection| InvalidFileList::Entry { path: path.to_owned(), objection };
        let path: RelPath = match self.path.parse() {
            Ok(path) => path,
            Err(why) => return Err(refused(&self.path, Objection::Path(why.to_string()))),
        };
        let kind = self.kind().map_err(|objection| refused(path.as_str(), objection))?;
        Ok(Entry { path, kind })
    }

    fn kind(self) -> Result<Kind, Objection> {
        let kind = match self.kind.as_ref() {
            "folder" => Kind::Folder,
            "file" => Kind::File {
                executable: executable(self.mode.ok_or(Objection::Field("mode"))?)?,
                size: self.size.ok_or(Objection::Field("size"))?,
                sha256: self.sha256.ok_or(Objection::Field("sha256"))?,
            },
            "link" => Kind::Link { target: self.target.clone().ok_or(Objection::Field("target"))? },
            other => return Err(Objection::UnknownKind(other.to_owned())),
        };
        let is_file = matches!(kind, Kind::File { .. });
        let is_link = matches!(kind, Kind::Link { .. });
        let surplus = [
            ("mode", self.mode.is_some() && !is_file),
            ("size", self.size.is_some() && !is_file),
            ("sha256", self.sha256.is_some() && !is_file),
            ("target", self.target.is_some() && !is_link),
        ];
        match surplus.iter().find(|(_, there)| *there) {
            Some((field, _)) => Err(Objection::Field(field)),
            None => Ok(kind),
        }
    }
}

fn executable(mode: &str) -> Result<bool, Objection> {
    match mode {
        "755" => Ok(true),
        "644" => Ok(false),
        other => Err(Objection::Mode(other.to_owned())),
    }
}

/// The list as JSON. Written by hand so that every entry has its line.
pub(super) fn write(list: &FileList) -> Vec<u8> {
    let mut json = format!(
        "{{\"format\":\"{FORMAT}\",\"product\":\"{}\",\"version\":\"{}\",\"time\":{},\"entries\":[",
        list.product, list.version, list.time
    );
    let mut separator = "\n";
    for entry in &list.entries {
        json.push_str(separator);
        write_entry(&mut json, entry);
        separator = ",\n";
    }
    json.push_str("\n]}\n");
    json.into_bytes()
}

fn write_entry(json: &mut String, entry: &Entry) {
    json.push_str("{\"path\":");
    json.push_str(&quoted(entry.path.as_str()));
    let rest = match &entry.kind {
        Kind::Folder => ",\"kind\":\"folder\"}".to_owned(),
        Kind::File { executable, size, sha256 } => {
            let mode = if *executable { "755" } else { "644" };
            format!(
                ",\"kind\":\"file\",\"mode\":\"{mode}\",\"size\":{size},\"sha256\":\"{sha256}\"}}"
            )
        }
        Kind::Link { target } => format!(",\"kind\":\"link\",\"target\":{}}}", quoted(target)),
    };
    json.push_str(&rest);
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// One frame with content size and checksum, by one thread: equal input, equal bytes.
pub(super) fn compress(json: &[u8]) -> Vec<u8> {
    let compress = || {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.compress(json)
    };
    compress().expect("compressing memory into memory only fails without memory")
}
