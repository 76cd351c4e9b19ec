//! `timestamp`: which snapshot is current; the one file that is ever replaced.

use super::fields::{Fields, Malformed};
use super::json::{Json, Object};
use super::metadata::{Head, Signed};
use super::snapshot::MetaFile;

/// The only file that a timestamp speaks of.
const SNAPSHOT: &str = "snapshot.json";

/// The signed part of `timestamp.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Version and expiry.
    pub head: Head,
    /// The current snapshot.
    pub snapshot: MetaFile,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl Signed for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn head(&self) -> &Head {
        &self.head
    }

    fn to_json(&self) -> Json {
        let meta = [(SNAPSHOT, self.snapshot.to_json())].into_iter().collect();
        self.head.with(Self::TYPE, [("meta", meta)], &self.unknown)
    }

    fn parse(head: Head, json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::TYPE, json)?;
        let mut meta = fields.fields("meta")?;
        let snapshot =
            MetaFile::parse("timestamp.meta.snapshot.json".into(), meta.required(SNAPSHOT)?)?;
        if !meta.rest().is_empty() {
            return Err(fields.object_to("meta", "speaks of more than snapshot.json"));
        }
        Ok(Self { head, snapshot, unknown: fields.rest() })
    }
}
