//! `snapshot`: which version of every targets role is current, all at one moment.

use std::collections::BTreeMap;

use super::fields::{Fields, Hashes, Malformed, int};
use super::json::{Json, Object};
use super::metadata::{Head, Signed, merged};
use super::refusal::Refusal;

/// What is known of another metadata file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFile {
    /// Its version.
    pub version: u64,
    /// Its length, where known.
    pub length: Option<u64>,
    /// Its digests, where known.
    pub hashes: Option<Hashes>,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl MetaFile {
    /// A file of which only the version is said.
    #[must_use]
    pub fn version(version: u64) -> Self {
        Self { version, length: None, hashes: None, unknown: Object::new() }
    }

    /// Refuses `bytes` of other length or digests.
    pub fn check(&self, file: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let found = bytes.len() as u64;
        if let Some(expected) = self.length.filter(|length| *length != found) {
            return Err(Refusal::Length { file: file.to_owned(), expected, found });
        }
        match self.hashes {
            Some(hashes) if !hashes.accept(bytes) => Err(Refusal::Digest { file: file.to_owned() }),
            _ => Ok(()),
        }
    }

    pub(super) fn to_json(&self) -> Json {
        let length = self.length.map(|length| ("length", int(length)));
        let hashes = self.hashes.map(|hashes| ("hashes", hashes.to_json()));
        let version = [("version", int(self.version))];
        merged(version.into_iter().chain(length).chain(hashes), &self.unknown)
    }

    pub(super) fn parse(at: String, json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new(at, json)?;
        Ok(Self {
            version: fields.positive("version")?,
            length: fields.optional_size("length")?,
            hashes: fields.hashes("hashes")?,
            unknown: fields.rest(),
        })
    }
}

/// The signed part of `snapshot.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Version and expiry.
    pub head: Head,
    /// Every targets role, by role name with `.json` after it.
    pub meta: BTreeMap<String, MetaFile>,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl Snapshot {
    /// What it says of a role.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&MetaFile> {
        self.meta.get(&format!("{name}.json"))
    }

    /// Refuses to follow `floor` where a role has disappeared or gone back.
    pub fn check_floor(&self, floor: &Self) -> Result<(), Refusal> {
        for (file, before) in &floor.meta {
            let role = || file.strip_suffix(".json").unwrap_or(file).to_owned();
            let after = self.meta.get(file).ok_or_else(|| Refusal::Removed { role: role() })?;
            if after.version < before.version {
                let (trusted, found) = (before.version, after.version);
                return Err(Refusal::Rollback { role: role(), trusted, found });
            }
        }
        Ok(())
    }
}

impl Signed for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn head(&self) -> &Head {
        &self.head
    }

    fn to_json(&self) -> Json {
        let meta = self.meta.iter().map(|(file, meta)| (file.clone(), meta.to_json())).collect();
        self.head.with(Self::TYPE, [("meta", Json::Object(meta))], &self.unknown)
    }

    fn parse(head: Head, json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::TYPE, json)?;
        let meta = fields.fields("meta")?.each().map(|(file, json)| {
            let meta = MetaFile::parse(format!("snapshot.meta.{file}"), json)?;
            Ok((file, meta))
        });
        Ok(Self { head, meta: meta.collect::<Result<_, _>>()?, unknown: fields.rest() })
    }
}
