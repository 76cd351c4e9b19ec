//! Public keys as metadata names them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use pkcs8::der::Document;
use pkcs8::der::pem::PemLabel as _;
use pkcs8::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::canonical::to_canonical;
use super::fields::{Fields, Malformed};
use super::json::{Json, Object};
use crate::digest::{Digest, from_hex, to_hex};

/// The object identifier `rsaEncryption` (RFC 8017).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Keys by the id under which a delegator lists them. An id is opaque: it need not be a digest.
pub type Keys = BTreeMap<String, Key>;

/// How OpenSSH's form of an ed25519 public key begins: two lengths, and the type between them.
const SSH_ED25519: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";

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
    /// The `RSAPublicKey` of PKCS#1, in DER.
    RsaPss(Vec<u8>),
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

    /// A public key as people hand them on: 64 hexadecimal digits, a line that begins with
    /// `ssh-ed25519`, or PEM (`openssl pkey -pubout`).
    ///
    /// `None` for anything else, and for points that are no good as keys.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let public = if text.starts_with("-----BEGIN") {
            ed25519_dalek::VerifyingKey::from_public_key_pem(text).ok()?
        } else if let Some(rest) = text.strip_prefix("ssh-ed25519 ") {
            let blob = BASE64_STANDARD.decode(rest.split_whitespace().next()?).ok()?;
            let bytes = blob.strip_prefix(SSH_ED25519)?;
            ed25519_dalek::VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?
        } else {
            ed25519_dalek::VerifyingKey::from_bytes(&from_hex(text)?.try_into().ok()?).ok()?
        };
        (!public.is_weak()).then(|| Self::ed25519(&public))
    }

    /// An ed25519 key as OpenSSH's agent names it.
    #[must_use]
    pub fn from_ssh(blob: &[u8]) -> Option<Self> {
        let bytes = blob.strip_prefix(SSH_ED25519)?.try_into().ok()?;
        Some(Self::ed25519(&ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?))
    }

    /// The key material, hexadecimal; `None` for keys of other types than ed25519.
    #[must_use]
    pub fn public_hex(&self) -> Option<String> {
        match &self.verifier {
            Verifier::Ed25519(key) => Some(to_hex(key.as_bytes())),
            Verifier::P256(_) | Verifier::RsaPss(_) | Verifier::Unknown => None,
        }
    }

    /// The 32 bytes of an ed25519 key; `None` for keys of other types.
    #[must_use]
    pub fn ed25519_bytes(&self) -> Option<[u8; 32]> {
        match &self.verifier {
            Verifier::Ed25519(key) => Some(key.to_bytes()),
            Verifier::P256(_) | Verifier::RsaPss(_) | Verifier::Unknown => None,
        }
    }

    /// PEM of an ed25519 key, as `openssl pkey -pubout` writes it; `None` for keys of other types.
    #[must_use]
    pub fn ed25519_pem(&self) -> Option<String> {
        match &self.verifier {
            Verifier::Ed25519(key) => key.to_public_key_pem(pkcs8::LineEnding::LF).ok(),
            Verifier::P256(_) | Verifier::RsaPss(_) | Verifier::Unknown => None,
        }
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
            ("rsa", "rsassa-pss-sha256", Ok(public)) => Verifier::rsa_pss(&public),
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
            Verifier::RsaPss(key) => Some([b"rsa:", key.as_slice()].concat()),
            Verifier::Unknown => None,
        }
    }

    /// Whether `sig`, hexadecimal digits, is this key's signature of `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], sig: &str) -> bool {
        use p256::ecdsa::signature::Verifier as _;
        let Some(sig) = from_hex(sig) else { return false };
        match &self.verifier {
            Verifier::Ed25519(key) => ed25519_dalek::Signature::from_slice(&sig)
                .is_ok_and(|sig| key.verify_strict(message, &sig).is_ok()),
            Verifier::P256(key) => p256::ecdsa::Signature::from_der(&sig)
                .is_ok_and(|sig| key.verify(message, &sig).is_ok()),
            // Moduli of less than 2048 bits do not count.
            Verifier::RsaPss(key) => {
                use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
                UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(message, &sig).is_ok()
            }
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

    /// PEM of the subject public key info. What is in it is read again, strictly, at each use.
    fn rsa_pss(public: &str) -> Self {
        let Ok((label, der)) = Document::from_pem(public) else { return Self::Unknown };
        let info = SubjectPublicKeyInfoRef::try_from(der.as_bytes());
        let is_rsa = |info: &SubjectPublicKeyInfoRef<'_>| {
            label == SubjectPublicKeyInfoRef::PEM_LABEL && info.algorithm.oid == RSA
        };
        match info.as_ref().ok().filter(|info| is_rsa(info)) {
            Some(info) => Self::RsaPss(info.subject_public_key.raw_bytes().to_vec()),
            None => Self::Unknown,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl genpkey` and `openssl dgst -sha256 -sigopt rsa_padding_mode:pss`.
    const RSA_2048: (&str, &str) = (
        "-----BEGIN PUBLIC KEY-----\n\
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA5F8sgk+xsWmtr+yfv6WD\n\
        MV85xuGwUurkK9h9L7CB6nKko5O0DVneQyFZiK6nl5DUH6zj18Y2bz7ZC5BTW/Cq\n\
        H3M9Y9QL4RWjslxe3kSo5nYhvpbZtnM069aIIFcn8N/oXC/z3m+PL4/I8STlGbli\n\
        yP58XSrOh1QYWxWd8KED5GTl+Gl8APZLwfu5Vexe3wrkxZUDHfoBsIIPPKcyWKOc\n\
        gJpji/glcDjpbhwfJ5mx2RSGxA00lzQ9vPnczWZPoR+mpzCrE2qMiR+eMgBrbjjg\n\
        HrhT+ZfS1V/GZIrq+NlnWINDBi9ij6FIFmtmMckybeo6Xd3tOlILbQ8P5dO7LjYg\n\
        nQIDAQAB\n\
        -----END PUBLIC KEY-----\n",
        "66b465de427f27cebfe5c9fdc40f2d9565483662aa652f6324bd6020e3069eb8a200f9df91fe9653c35f8825\
        5afa30b4779ac016f386ea47bb74523d2774eae8c3719a34a5e9973d95befacc931d6f14f45a2b68beb346d2\
        dee4f75e7ee3029abf9ce24d15a95c0406d902f2d8dd478616aa05f69e33e9f8e1ab0c73bfe6c198341d5000\
        67b03647343cfbb9ed74199530f0f8a31f0fbf4564b87d2e7f321609039656effd1032aea9a13e912039cf21\
        9caaba3df044bd37bfc3b86d9b19cf9620926ca4ac2d30c14927e2f3c86c37d9bf302c5b2450efbb67533f54\
        614e6d9b83cea4104e0f95b47c3cdd831c0b489b4ab50e9e2159462500e753d90356862c",
    );
    const RSA_1024: (&str, &str) = (
        "-----BEGIN PUBLIC KEY-----\n\
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkdwOoGQZUbZd/12BtU93oM6Mz\n\
        SuWSOyzvxHreOaltAzlV6QOdprvtNK1DAGjPUwUK7P1Ug2Q30lgOEnQX+kHGqnve\n\
        VQpuY+XjNkNv+yiv1cEjDQpRtmEIE9f5oUyypIiNUdZ62WXQcvR/O+4pI/A/TVg9\n\
        hhwffU8CniwA6X/9FQIDAQAB\n\
        -----END PUBLIC KEY-----\n",
        "bb406827a8e061553f90271eca307046b2e76fba0761e2112d1cab784081ef4051ce87b890356c51c5083fce\
        bd1c4e4e0edd1f3424cfee8ed3e63584ef18550b50390be07f88da5b30c479ae91bbf4860d1ab0dd59c81416\
        afd3d9bd46afd2b227b2d3a3cc540db196247f66d614febb8229e26bab74ba99b10e62f3a0379b1b",
    );

    fn rsa(pem: &str) -> Key {
        let keyval = [("public", Json::from(pem))].into_iter().collect();
        let json = [
            ("keytype", Json::from("rsa")),
            ("keyval", keyval),
            ("scheme", "rsassa-pss-sha256".into()),
        ];
        Key::parse("a key", json.into_iter().collect()).unwrap()
    }

    #[test]
    fn rsa_pss() {
        let key = rsa(RSA_2048.0);
        assert!(key.verifies(b"a message", RSA_2048.1));
        assert!(!key.verifies(b"A message", RSA_2048.1));
        assert!(!key.verifies(b"a message", &RSA_2048.1.replace("0", "1")));
        assert!(!key.verifies(b"a message", RSA_1024.1));
        // The same key in other lines is the same key.
        let folded = RSA_2048.0.replace('\n', "\r\n");
        assert!(key.identity().is_some());
        assert_eq!(rsa(&folded).identity(), key.identity());
    }

    #[test]
    fn rsa_keys_that_do_not_count() {
        assert!(!rsa(RSA_1024.0).verifies(b"a message", RSA_1024.1), "too short");
        let elliptic = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEA6kpsY+KcUgq+9VB7EywYdqN15sq92b1hgUpV1RbzyXM=\n\
            -----END PUBLIC KEY-----\n";
        for pem in ["", "-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n", elliptic] {
            assert_eq!(rsa(pem).identity(), None, "{pem}");
        }
    }
}
