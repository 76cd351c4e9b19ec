//! JSON as signed metadata may use it.
//!
//! Threats: two parsers that read the same bytes as different values would disagree about what
//! was signed, so repeated keys, floats and numbers beyond 64 bits are refused instead of being
//! resolved somehow; and a reply that is all brackets must not exhaust the stack, so nesting is
//! bounded. How many bytes there are is bounded by whoever fetched them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Deepest nesting of arrays and objects that is read.
pub const DEEPEST: usize = 32;

/// A JSON value without floats; objects are ordered by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Values by key, each key once.
    Object(Object),
}

/// Values by key.
pub type Object = BTreeMap<String, Json>;

/// Bytes that are no JSON of the kind metadata may use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidJson(#[from] serde_json::Error);

impl Json {
    /// Reads one value and nothing after it.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidJson> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = Value { depth: DEEPEST }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// JSON text without white space, keys in order.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a value with text keys is always JSON")
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl FromIterator<(&'static str, Json)> for Json {
    fn from_iter<I: IntoIterator<Item = (&'static str, Json)>>(fields: I) -> Self {
        Self::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(values) => serializer.collect_seq(values),
            Self::Object(fields) => serializer.collect_map(fields),
        }
    }
}

/// Reads a value that may nest `depth` levels deep.
#[derive(Clone, Copy)]
struct Value {
    depth: usize,
}

impl Value {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let too_deep = || E::custom(format_args!("nested deeper than {DEEPEST} levels"));
        Ok(Self { depth: self.depth.checked_sub(1).ok_or_else(too_deep)? })
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without floats")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        let too_large = |_| E::custom(format_args!("number {value} is out of range"));
        i64::try_from(value).map(Json::Int).map_err(too_large)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut fields = Object::new();
        while let Some(key) = map.next_key::<String>()? {
            match fields.entry(key) {
                Entry::Vacant(place) => place.insert(map.next_value_seed(inner)?),
                Entry::Occupied(taken) => {
                    return Err(A::Error::custom(format_args!("key {:?} repeats", taken.key())));
                }
            };
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(text: &str) -> String {
        Json::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn values() {
        let text = r#"{"a":[null,true,-1,9223372036854775807],"b":{"c":"\u00e9\n"}}"#;
        let value = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(Json::parse(&value.to_bytes()).unwrap(), value);
    }

    #[test]
    fn ambiguities_are_refused() {
        assert!(objection(r#"{"a":1,"a":1}"#).contains("\"a\" repeats"));
        assert!(objection(r#"{"x":{"a":1,"b":2,"a":3}}"#).contains("\"a\" repeats"));
        assert!(objection(r#"{"a":1,"\u0061":2}"#).contains("\"a\" repeats"));
        for float in ["1.0", "1e3", "-0", "18446744073709551616"] {
            assert!(objection(float).contains("JSON without floats"), "{float}");
        }
        assert!(objection("9223372036854775808").contains("out of range"));
        for bad in ["", "{", "{} {}", "nul", "\"\u{1}\"", "[1,]", "{\"a\":1,}"] {
            assert!(Json::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(nested(DEEPEST).as_bytes()).is_ok());
        assert!(objection(&nested(DEEPEST + 1)).contains("nested deeper"));
        assert!(Json::parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(Json::parse("{\"a\":".repeat(100_000).as_bytes()).is_err());
    }
}
