//! Public keys as metadata names them.

use p256::pkcs8::DecodePublicKey as _;
use std::collections::BTreeMap;

use super::canonical::to_canonical;
use super::fields::{Fields, Malformed};
use super::json::{Json, Object};
use crate::digest::{Digest, from_hex, to_hex};

/// Keys by the id under which a delegator lists them. An id is opaque: it need not be a digest.
pub type Keys = BTreeMap<String, Key>;

/// A public key; one of an unknown type is kept, and never counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    json: Object,
    verifier: Verifier,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verifier {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(Box<p256::ecdsa::VerifyingKey>),
    Unknown,
}

impl Key {
    /// The key object of an ed25519 public key.
    #[must_use]
    pub fn ed25519(public: &ed25519_dalek::VerifyingKey) -> Self {
        let keyval = [("public", Json::from(to_hex(public.as_bytes())))].into_iter().collect();
        let json: Json =
            [("keytype", "ed25519".into()), ("keyval", keyval), ("scheme", "ed25519".into())]
                .into_iter()
                .collect();
        let Json::Object(json) = json else { unreachable!("collected from fields") };
        Self { json, verifier: Verifier::Ed25519(*public) }
    }

    pub(super) fn parse(at: &str, json: Json) -> Result<Self, Malformed> {
        let kept = json.clone();
        let mut fields = Fields::new(at, json)?;
        let (keytype, scheme) = (fields.text("keytype")?, fields.text("scheme")?);
        let public = fields.fields("keyval")?.text("public");
        let verifier = match (keytype.as_str(), scheme.as_str(), public) {
            ("ed25519", "ed25519", Ok(public)) => Verifier::ed25519(&public),
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", Ok(public)) => {
                Verifier::p256(&public)
            }
            _ => Verifier::Unknown,
        };
        let Json::Object(json) = kept else { unreachable!("its fields were read") };
        Ok(Self { json, verifier })
    }

    /// The id that our own repositories list the key under: the SHA-256 of the canonical form.
    #[must_use]
    pub fn id(&self) -> String {
        Digest::of(&to_canonical(&self.to_json())).to_string()
    }

    pub(super) fn to_json(&self) -> Json {
        Json::Object(self.json.clone())
    }

    /// What makes two keys the same key whatever they are called: type and key material.
    /// `None` for a key that cannot be used here.
    pub(super) fn identity(&self) -> Option<Vec<u8>> {
        match &self.verifier {
            Verifier::Ed25519(key) => Some([b"ed25519:", &key.as_bytes()[..]].concat()),
            Verifier::P256(key) => {
                Some([&b"p256:"[..], key.to_sec1_point(true).as_bytes()].concat())
            }
            Verifier::Unknown => None,
        }
    }

    /// Whether `sig`, hexadecimal digits, is this key's signature of `message`.
    pub(super) fn verifies(&self, message: &[u8], sig: &str) -> bool {
        use p256::ecdsa::signature::Verifier as _;
        let Some(sig) = from_hex(sig) else { return false };
        match &self.verifier {
            Verifier::Ed25519(key) => ed25519_dalek::Signature::from_slice(&sig)
                .is_ok_and(|sig| key.verify_strict(message, &sig).is_ok()),
            Verifier::P256(key) => p256::ecdsa::Signature::from_der(&sig)
                .is_ok_and(|sig| key.verify(message, &sig).is_ok()),
            Verifier::Unknown => false,
        }
    }
}

impl Verifier {
    /// 32 bytes, hexadecimal. A key that is none does not count, as one of an unknown type does not.
    fn ed25519(public: &str) -> Self {
        let bytes = from_hex(public).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key = bytes.and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok());
        key.map_or(Self::Unknown, Self::Ed25519)
    }

    /// PEM of the subject public key info.
    fn p256(public: &str) -> Self {
        p256::ecdsa::VerifyingKey::from_public_key_pem(public)
            .map_or(Self::Unknown, |key| Self::P256(Box::new(key)))
    }
}

/// Reads `keys`.
pub(super) fn parse_keys(fields: Fields) -> Result<Keys, Malformed> {
    let at = fields.at().to_owned();
    fields
        .each()
        .map(|(id, json)| Ok((id.clone(), Key::parse(&format!("{at}.{id}"), json)?)))
        .collect()
}

pub(super) fn keys_to_json(keys: &Keys) -> Json {
    Json::Object(keys.iter().map(|(id, key)| (id.clone(), key.to_json())).collect())
}
