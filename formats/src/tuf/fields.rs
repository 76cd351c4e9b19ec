//! Taking a JSON object apart, field by field; what is left is kept.

use jiff::Timestamp;

use super::json::{Json, Object};
use crate::digest::{Digest, from_hex};

/// Metadata of another shape than the specification prescribes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct Malformed {
    at: String,
    why: String,
}

impl Malformed {
    pub(super) fn new(at: impl Into<String>, why: impl Into<String>) -> Self {
        Self { at: at.into(), why: why.into() }
    }
}

/// An object that is being taken apart; `at` says where it stands, for messages.
pub(super) struct Fields {
    at: String,
    object: Object,
}

impl Fields {
    pub(super) fn new(at: impl Into<String>, json: Json) -> Result<Self, Malformed> {
        let at = at.into();
        match json {
            Json::Object(object) => Ok(Self { at, object }),
            _ => Err(Malformed::new(at, "is not an object")),
        }
    }

    /// The fields that nobody took: unknown ones, which stay part of what is signed.
    pub(super) fn rest(self) -> Object {
        self.object
    }

    /// An objection to the value of `key`.
    pub(super) fn object_to(&self, key: &str, why: impl Into<String>) -> Malformed {
        Malformed::new(format!("{}.{key}", self.at), why)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    pub(super) fn optional(&mut self, key: &str) -> Option<Json> {
        self.object.remove(key)
    }

    pub(super) fn required(&mut self, key: &str) -> Result<Json, Malformed> {
        self.optional(key).ok_or_else(|| self.object_to(key, "is missing"))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<String, Malformed> {
        match self.required(key)? {
            Json::String(text) => Ok(text),
            _ => Err(self.object_to(key, "is not text")),
        }
    }

    pub(super) fn fields(&mut self, key: &str) -> Result<Fields, Malformed> {
        Fields::new(format!("{}.{key}", self.at), self.required(key)?)
    }

    pub(super) fn optional_bool(&mut self, key: &str) -> Result<Option<bool>, Malformed> {
        match self.optional(key) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.object_to(key, "is neither true nor false")),
        }
    }

    pub(super) fn optional_size(&mut self, key: &str) -> Result<Option<u64>, Malformed> {
        match self.optional(key) {
            None => Ok(None),
            Some(Json::Int(value)) => u64::try_from(value)
                .map(Some)
                .map_err(|_| self.object_to(key, format!("is negative ({value})"))),
            Some(_) => Err(self.object_to(key, "is not a whole number")),
        }
    }

    /// A version or threshold: a whole number from 1.
    pub(super) fn positive(&mut self, key: &str) -> Result<u64, Malformed> {
        match self.optional_size(key)? {
            None => Err(self.object_to(key, "is missing")),
            Some(0) => Err(self.object_to(key, "is 0, must be at least 1")),
            Some(value) => Ok(value),
        }
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Json>, Malformed> {
        match self.required(key)? {
            Json::Array(values) => Ok(values),
            _ => Err(self.object_to(key, "is not a list")),
        }
    }

    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<String>, Malformed> {
        let values = self.list(key)?.into_iter().map(|value| match value {
            Json::String(text) => Ok(text),
            _ => Err(self.object_to(key, "is not a list of texts")),
        });
        values.collect()
    }

    /// `{"sha256": "…", …}`: the digests that this program can check. Others are no harm as long as
    /// there is one that is known.
    pub(super) fn hashes(&mut self, key: &str) -> Result<Option<Hashes>, Malformed> {
        if !self.has(key) {
            return Ok(None);
        }
        let mut fields = self.fields(key)?;
        let mut known = Hashes { sha256: None, sha512: None };
        if fields.has("sha256") {
            let text = fields.text("sha256")?;
            let digest = text.parse();
            known.sha256 =
                Some(digest.map_err(|_| fields.object_to("sha256", "is not a sha256 digest"))?);
        }
        if fields.has("sha512") {
            let digest = from_hex(&fields.text("sha512")?);
            let digest = digest.and_then(|bytes| bytes.try_into().ok());
            known.sha512 =
                Some(digest.ok_or_else(|| fields.object_to("sha512", "is not a sha512 digest"))?);
        }
        match known {
            Hashes { sha256: None, sha512: None } => {
                Err(self.object_to(key, "holds no digest that is known (sha256, sha512)"))
            }
            known => Ok(Some(known)),
        }
    }

    /// `2031-01-01T00:00:00Z`, exactly so: whole seconds, UTC.
    pub(super) fn time(&mut self, key: &str) -> Result<Timestamp, Malformed> {
        let text = self.text(key)?;
        let is_exact = text.len() == "2031-01-01T00:00:00Z".len()
            && text.as_bytes()[10] == b'T'
            && text.ends_with('Z');
        let time = if is_exact { text.parse().ok() } else { None };
        time.ok_or_else(|| {
            self.object_to(key, format!("`{text}` is not a time like `2031-01-01T00:00:00Z`"))
        })
    }

    pub(super) fn each(self) -> impl Iterator<Item = (String, Json)> {
        self.object.into_iter()
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }
}

/// The digests of one file that this program can check; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: Option<Digest>,
    /// SHA-512.
    pub sha512: Option<[u8; 64]>,
}

impl Hashes {
    /// Only a SHA-256 digest.
    #[must_use]
    pub fn sha256(digest: Digest) -> Self {
        Self { sha256: Some(digest), sha512: None }
    }

    /// Whether `bytes` have all of them.
    #[must_use]
    pub fn accept(&self, bytes: &[u8]) -> bool {
        use sha2::Digest as _;
        let sha256 = self.sha256.is_none_or(|digest| Digest::of(bytes) == digest);
        sha256 && self.sha512.is_none_or(|digest| sha2::Sha512::digest(bytes)[..] == digest[..])
    }

    pub(super) fn to_json(self) -> Json {
        let sha256 = self.sha256.map(|digest| ("sha256", digest.to_string().into()));
        let sha512 = self.sha512.map(|digest| ("sha512", crate::digest::to_hex(&digest).into()));
        sha256.into_iter().chain(sha512).collect()
    }
}

/// The time as metadata writes it.
pub(super) fn time_to_json(time: Timestamp) -> Json {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

/// A number that came from metadata, or that is a size of something that exists, fits.
pub(super) fn int(value: u64) -> Json {
    Json::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
