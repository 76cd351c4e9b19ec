//! The JSON of etcd's gateway: bytes are base64, 64-bit numbers are strings, and what is zero,
//! false or empty is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A 64-bit number: written as a string, read from either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Int(pub(super) i64);

impl Serialize for Int {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(i64),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => text.parse().map(Self).map_err(de::Error::custom),
        }
    }
}

/// Bytes in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    pub(super) fn of(text: &str) -> Self {
        Self(text.as_bytes().to_owned())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// One key, as it stands.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Kv {
    pub(super) key: Bytes,
    #[serde(default)]
    pub(super) value: Bytes,
    #[serde(default)]
    pub(super) create_revision: Int,
    #[serde(default)]
    pub(super) mod_revision: Int,
    #[serde(default)]
    pub(super) lease: Int,
}

/// An error; older gateways put the words in `error` alone.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) error: String,
    #[serde(default)]
    pub(super) message: String,
    pub(super) code: u32,
}

/// One line of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Line<T> {
    pub(super) result: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_nothing() {
        let kv: Kv = serde_json::from_str(
            r#"{"key":"aw==","create_revision":"2","mod_revision":"9007199254740993"}"#,
        )
        .unwrap();
        assert_eq!((kv.key, kv.value), (Bytes::of("k"), Bytes::default()));
        assert_eq!((kv.mod_revision, kv.lease), (Int(9_007_199_254_740_993), Int(0)));
        assert!(serde_json::from_str::<Kv>(r#"{"key":"?"}"#).is_err());
        assert!(serde_json::from_str::<Int>(r#""x""#).is_err());
        assert_eq!(serde_json::to_string(&Int(-1)).unwrap(), r#""-1""#);
    }
}
