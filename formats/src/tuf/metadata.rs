//! What all metadata files share: the envelope with signatures, and the head of the signed part.
//!
//! A file is `{"signatures": [{"keyid", "sig"}], "signed": {"_type", "spec_version", "version",
//! "expires", …}}`. Signatures are over the canonical form of the parsed `signed` value, so that
//! fields nobody here knows are signed for as well.

use std::collections::BTreeSet;
use std::ops::Deref;

use jiff::Timestamp;

use super::canonical::to_canonical;
use super::fields::{Fields, Malformed, int, time_to_json};
use super::json::{Json, Object};

/// The version of the specification that is written; any `1.x` is read.
pub const SPEC_VERSION: &str = "1.0.31";

/// The signed part of a kind of metadata.
pub trait Signed: Sized {
    /// What `_type` must say.
    const TYPE: &'static str;

    /// What all kinds share.
    fn head(&self) -> &Head;

    /// The value that is signed.
    fn to_json(&self) -> Json;

    /// Reads all fields but those of the head.
    #[doc(hidden)]
    fn parse(head: Head, json: Json) -> Result<Self, Malformed>;
}

/// The fields that every kind of metadata has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The specification it follows.
    pub spec_version: String,
    /// Counts up from 1.
    pub version: u64,
    /// From then on it is refused.
    pub expires: Timestamp,
}

impl Head {
    /// The head of new metadata.
    #[must_use]
    pub fn new(version: u64, expires: Timestamp) -> Self {
        Self { spec_version: SPEC_VERSION.to_owned(), version, expires }
    }

    /// The signed value: this head, the known fields and the unknown ones.
    pub(super) fn with(
        &self,
        kind: &'static str,
        known: impl IntoIterator<Item = (&'static str, Json)>,
        unknown: &Object,
    ) -> Json {
        let head = [
            ("_type", kind.into()),
            ("spec_version", self.spec_version.as_str().into()),
            ("version", int(self.version)),
            ("expires", time_to_json(self.expires)),
        ];
        merged(head.into_iter().chain(known), unknown)
    }

    fn parse(kind: &'static str, fields: &mut Fields) -> Result<Self, Malformed> {
        let found = fields.text("_type")?;
        if found != kind {
            return Err(fields.object_to("_type", format!("is `{found}`, expected `{kind}`")));
        }
        let spec_version = fields.text("spec_version")?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !spec_version.split('.').all(is_number) || spec_version.split('.').next() != Some("1") {
            let why = format!("is `{spec_version}`, this program reads 1.x");
            return Err(fields.object_to("spec_version", why));
        }
        Ok(Self {
            spec_version,
            version: fields.positive("version")?,
            expires: fields.time("expires")?,
        })
    }
}

/// An object of `known` fields and the unknown ones that were read with them.
pub(super) fn merged(
    known: impl IntoIterator<Item = (&'static str, Json)>,
    unknown: &Object,
) -> Json {
    let known = known.into_iter().map(|(key, value)| (key.to_owned(), value));
    Json::Object(unknown.clone().into_iter().chain(known).collect())
}

/// One entry of `signatures`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key it claims to be of.
    pub keyid: String,
    /// Hexadecimal digits, or anything else, which then does not count.
    pub sig: String,
}

impl Signature {
    pub(super) fn to_json(&self) -> Json {
        [("keyid", self.keyid.as_str().into()), ("sig", self.sig.as_str().into())]
            .into_iter()
            .collect()
    }

    pub(super) fn parse(json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new("signatures", json)?;
        Ok(Self { keyid: fields.text("keyid")?, sig: fields.text("sig")? })
    }
}

/// Metadata of the right shape that nobody has vouched for yet.
#[derive(Clone, Debug)]
pub struct Unverified<T> {
    pub(super) signed: T,
    pub(super) signatures: Vec<Signature>,
    /// What the signatures are over.
    pub(super) message: Vec<u8>,
}

impl<T: Signed> Unverified<T> {
    /// Reads a metadata file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let json = Json::parse(bytes)
            .map_err(|error| Malformed::new(format!("{} metadata", T::TYPE), error.to_string()))?;
        let mut envelope = Fields::new(format!("{} metadata", T::TYPE), json)?;
        let signatures = envelope.list("signatures")?.into_iter().map(Signature::parse);
        let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
        let mut keyids = BTreeSet::new();
        if let Some(twice) = signatures.iter().find(|one| !keyids.insert(&one.keyid)) {
            let why = format!("key id {:?} repeats", twice.keyid);
            return Err(envelope.object_to("signatures", why));
        }
        let signed = envelope.required("signed")?;
        let message = to_canonical(&signed);
        let mut fields = Fields::new(T::TYPE, signed)?;
        let head = Head::parse(T::TYPE, &mut fields)?;
        let signed = T::parse(head, Json::Object(fields.rest()))?;
        Ok(Self { signed, signatures, message })
    }
}

impl Head {
    /// What a metadata file, of whatever kind, says of its version and expiry. Nobody vouches for it.
    pub fn peek(bytes: &[u8]) -> Result<Self, Malformed> {
        let json =
            Json::parse(bytes).map_err(|error| Malformed::new("metadata", error.to_string()))?;
        Self::of(Fields::new("metadata", json)?.required("signed")?)
    }

    /// The head of a signed value of whatever kind.
    pub(super) fn of(signed: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new("signed", signed)?;
        Ok(Self {
            spec_version: fields.text("spec_version")?,
            version: fields.positive("version")?,
            expires: fields.time("expires")?,
        })
    }
}

/// Metadata that the threshold of a role's keys has signed. Made only by
/// [`RoleKeys::verify`](super::verify::RoleKeys::verify).
#[derive(Clone, Debug)]
pub struct Verified<T> {
    pub(super) value: T,
    pub(super) keyids: Vec<String>,
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Verified<T> {
    /// The ids of the distinct keys whose signatures were good and counted.
    #[must_use]
    pub fn keyids(&self) -> &[String] {
        &self.keyids
    }

    /// The metadata, to be edited: whatever comes of it has to be signed again.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

/// The file for `signed` with signatures: what is published.
#[must_use]
pub fn envelope(signed: Json, signatures: &[Signature]) -> Vec<u8> {
    let signatures = Json::Array(signatures.iter().map(Signature::to_json).collect());
    let file: Json = [("signatures", signatures), ("signed", signed)].into_iter().collect();
    file.to_bytes()
}
