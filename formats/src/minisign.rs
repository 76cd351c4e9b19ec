//! Signatures and public keys as `minisign` reads them, made with a repository's own ed25519 keys.
//!
//! A signature file is four lines:
//!
//! ```text
//! untrusted comment: <anything>
//! <base64 of: algorithm (2 bytes), key id (8 bytes), signature (64 bytes)>
//! trusted comment: <one line>
//! <base64 of the 64 bytes: signature of (the signature above ‖ the trusted comment)>
//! ```
//!
//! Of the two [algorithms](Over) `Ed` signs the file and `ED` its BLAKE2b-512. A public key file has
//! a comment and the base64 of `Ed`, key id and the 32 bytes of the key. The key id only helps to
//! find the key: ours is the begin of the [id that metadata lists it under](Key::id), and `minisign`
//! prints it as those 16 hexadecimal digits.
//!
//! Threats: a signature that was made for one purpose and is good for another. What metadata keys
//! sign otherwise is JSON, which begins with `{` and is longer than 64 bytes. What is signed here is
//! 64 bytes, or 64 bytes and a comment, or a list of digests; none of these is metadata. And because
//! a minisign signature of a file says nothing of what the file is, the trusted comment names
//! product, version and file: an old release under a new name is shown for what it is.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::digest::{from_hex, to_hex};
use crate::tuf::key::Key;

/// More bytes than any signature file has.
pub const LARGEST: u64 = 4096;

/// What the file of a signature is called: as the file it signs, with this behind it.
pub const EXTENSION: &str = ".minisig";

const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// What a signature is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over<'a> {
    /// The file itself (`Ed`): for small ones, which `openssl pkeyutl -rawin` then verifies too.
    File(&'a [u8]),
    /// The BLAKE2b-512 of the file (`ED`).
    Blake2b(&'a [u8; 64]),
}

impl Over<'_> {
    fn algorithm(self) -> [u8; 2] {
        match self {
            Self::File(_) => *b"Ed",
            Self::Blake2b(_) => *b"ED",
        }
    }

    fn message(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Blake2b(digest) => &digest[..],
        }
    }
}

/// A signature file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minisig {
    untrusted: String,
    algorithm: [u8; 2],
    key: [u8; 8],
    signature: [u8; 64],
    trusted: String,
    global: [u8; 64],
}

/// A text that is no signature file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a minisign signature")]
pub struct InvalidMinisig;

impl Minisig {
    /// Signs: `sign` is asked twice, for short messages (and for the file of [`Over::File`]).
    ///
    /// The same key, file and comment give the same signature: nothing in it is of this moment.
    pub fn make<E>(
        key: &Key,
        over: Over<'_>,
        trusted: &str,
        sign: impl Fn(&[u8]) -> Result<[u8; 64], E>,
    ) -> Result<Self, E> {
        let trusted: String = trusted.chars().filter(|c| !c.is_control()).collect();
        let signature = sign(over.message())?;
        Ok(Self {
            untrusted: format!("by the minisign key {}", shown_id(key)),
            algorithm: over.algorithm(),
            key: key_number(key),
            signature,
            global: sign(&[&signature[..], trusted.as_bytes()].concat())?,
            trusted,
        })
    }

    /// Whether `key`, which it names, signed `over` and the trusted comment.
    #[must_use]
    pub fn verifies(&self, key: &Key, over: Over<'_>) -> bool {
        let global = [&self.signature[..], self.trusted.as_bytes()].concat();
        (self.algorithm, self.key) == (over.algorithm(), key_number(key))
            && key.verifies(over.message(), &to_hex(&self.signature))
            && key.verifies(&global, &to_hex(&self.global))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let untrusted = lines.next()?.strip_prefix(UNTRUSTED)?;
        let packed = BASE64_STANDARD.decode(lines.next()?).ok()?;
        let trusted = lines.next()?.strip_prefix(TRUSTED)?;
        let global = BASE64_STANDARD.decode(lines.next()?).ok()?;
        let (algorithm, packed) = packed.split_first_chunk()?;
        let (key, signature) = packed.split_first_chunk()?;
        let signature = Self {
            untrusted: untrusted.to_owned(),
            algorithm: *algorithm,
            key: *key,
            signature: signature.try_into().ok()?,
            trusted: trusted.to_owned(),
            global: global.try_into().ok()?,
        };
        let plain = |comment: &str| !comment.contains(char::is_control);
        (plain(untrusted) && plain(trusted)).then_some(signature)
    }

    /// The trusted comment.
    #[must_use]
    pub fn trusted_comment(&self) -> &str {
        &self.trusted
    }
}

impl fmt::Display for Minisig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = [&self.algorithm[..], &self.key, &self.signature].concat();
        writeln!(f, "{UNTRUSTED}{}", self.untrusted)?;
        writeln!(f, "{}", BASE64_STANDARD.encode(signature))?;
        writeln!(f, "{TRUSTED}{}", self.trusted)?;
        writeln!(f, "{}", BASE64_STANDARD.encode(self.global))
    }
}

impl FromStr for Minisig {
    type Err = InvalidMinisig;

    fn from_str(text: &str) -> Result<Self, InvalidMinisig> {
        Self::parse(text).ok_or(InvalidMinisig)
    }
}

/// The public key file of an ed25519 key; `None` for keys of other types.
#[must_use]
pub fn public_key(key: &Key) -> Option<String> {
    let id = shown_id(key);
    Some(format!("{UNTRUSTED}minisign public key {id}\n{}\n", public_key_line(key)?))
}

/// The second line of that file, as `minisign -P` takes it.
#[must_use]
pub fn public_key_line(key: &Key) -> Option<String> {
    let packed = [&b"Ed"[..], &key_number(key), &key.ed25519_bytes()?].concat();
    Some(BASE64_STANDARD.encode(packed))
}

/// As `minisign` prints it.
fn shown_id(key: &Key) -> String {
    key.id()[..16].to_ascii_uppercase()
}

/// `minisign` takes the 8 bytes for a little-endian number when it prints them.
fn key_number(key: &Key) -> [u8; 8] {
    let bytes = from_hex(&key.id()[..16]).expect("an id of ours is hexadecimal");
    let mut number: [u8; 8] = bytes.try_into().expect("16 digits are 8 bytes");
    number.reverse();
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;

    fn make(seed: u8, over: Over<'_>) -> (Minisig, Key) {
        let signer = Signer::from_seed([seed; 32]);
        let sign = |message: &[u8]| {
            let sig = from_hex(&signer.sign(message).sig).unwrap();
            Ok::<[u8; 64], InvalidMinisig>(sig.try_into().unwrap())
        };
        let signature = Minisig::make(signer.public(), over, "weave 1.1.4", sign).unwrap();
        (signature, signer.public().clone())
    }

    #[test]
    fn text_and_back() {
        for over in [Over::File(b"abc"), Over::Blake2b(&[9; 64])] {
            let (signature, key) = make(7, over);
            let text = signature.to_string();
            assert_eq!(text.parse(), Ok(signature.clone()), "{text}");
            assert!(text.starts_with("untrusted comment: by the minisign key BFE1A83869E5BF57\n"));
            assert_eq!(signature.trusted_comment(), "weave 1.1.4");
            assert!(signature.verifies(&key, over));
            assert!((text.len() as u64) < LARGEST);
        }
    }

    #[test]
    fn another_key_file_algorithm_or_comment_is_refused() {
        let (signature, key) = make(7, Over::Blake2b(&[9; 64]));
        let (_, other) = make(8, Over::Blake2b(&[9; 64]));
        assert!(!signature.verifies(&other, Over::Blake2b(&[9; 64])));
        assert!(!signature.verifies(&key, Over::Blake2b(&[8; 64])));
        assert!(!signature.verifies(&key, Over::File(&[9; 64])));
        let renamed = signature.to_string().replace("weave 1.1.4", "weave 1.1.5");
        assert!(!renamed.parse::<Minisig>().unwrap().verifies(&key, Over::Blake2b(&[9; 64])));
    }

    #[test]
    fn anything_else_is_no_signature() {
        let text = make(7, Over::File(b"abc")).0.to_string();
        for bad in [
            "",
            "\n\n\n\n",
            &text[..text.len() - 3],
            &text.replace("trusted comment: weave", "comment: weave"),
            &text.replace("1.1.4", "1.1.4\u{1b}"),
        ] {
            assert_eq!(bad.parse::<Minisig>(), Err(InvalidMinisig), "{bad}");
        }
    }

    #[test]
    fn the_public_key_has_our_id() {
        let signer = Signer::from_seed([7; 32]);
        let text = public_key(signer.public()).unwrap();
        assert!(text.starts_with("untrusted comment: minisign public key BFE1A83869E5BF57\nRW"));
    }
}
