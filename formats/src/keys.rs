//! Signing keys, the [files](mod@file) they are kept in, and [pointers](mod@pointer) to keys that are
//! kept elsewhere.
//!
#![doc = include_str!("../docs/trust.md")]

pub mod file;
pub mod pointer;

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroize as _;

use crate::digest::to_hex;
use crate::tuf::canonical::to_canonical;
use crate::tuf::key::Key;
use crate::tuf::metadata::{Signature, Signed, envelope};

/// A private ed25519 key. Wiped when dropped, never printed.
pub struct Signer {
    secret: SigningKey,
    public: Key,
    id: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key that `seed`, 32 random bytes, stands for.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let signer = Self::from_secret(SigningKey::from_bytes(&seed));
        seed.zeroize();
        signer
    }

    fn from_secret(secret: SigningKey) -> Self {
        let public = Key::ed25519(&secret.verifying_key());
        let id = public.id();
        Self { secret, public, id }
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &Key {
        &self.public
    }

    /// The id that metadata lists it under.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let sig = to_hex(&self.secret.sign(message).to_bytes());
        Signature { keyid: self.id.clone(), sig }
    }
}

/// The metadata file of `signed`, with the signatures of all `signers`.
#[must_use]
pub fn sign<'a, T: Signed>(signed: &T, signers: impl IntoIterator<Item = &'a Signer>) -> Vec<u8> {
    let signed = signed.to_json();
    let message = to_canonical(&signed);
    let signatures: Vec<_> = signers.into_iter().map(|signer| signer.sign(&message)).collect();
    envelope(signed, &signatures)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key id is what securesystemslib computes for the same key.
    #[test]
    fn key_id_and_secrecy() {
        let signer = Signer::from_seed([7; 32]);
        assert_eq!(signer.id(), "bfe1a83869e5bf574e3ff3acbb83f840de84a990d10059f3096f0bf4f2b90c10");
        assert!(!format!("{signer:?}").contains("7, 7"));
        assert!(!format!("{signer:?}").contains("secret"));
    }
}
