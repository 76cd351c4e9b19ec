//! Key files: PKCS#8 in PEM, readable by `openssl pkey`.
//!
//! Encrypted (PBES2 with scrypt and AES-256-CBC) or, where the folder is protected by other means,
//! plain. Version 1 of PKCS#8 is written, without the public key: OpenSSL reads no other for
//! ed25519. Who reads and writes the files, asks for the passphrase and provides randomness is the
//! caller's business.

use ed25519_dalek::SigningKey;
use pkcs8::der::pem::PemLabel as _;
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{
    DecodePrivateKey as _, EncryptedPrivateKeyInfoOwned, LineEnding, PrivateKeyInfoRef,
    SecretDocument,
};
use zeroize::Zeroizing;

use super::Signer;
use crate::exit::{Exit, Explain};

/// The cost of guessing a passphrase: scrypt with N = 2^14, r = 8, p = 5 takes some tenths of a
/// second and 16 MiB a guess. OpenSSL by default reads nothing that needs more than 32 MiB.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);

/// The object identifier of ed25519 (RFC 8410).
const ED25519: pkcs8::ObjectIdentifier = pkcs8::ObjectIdentifier::new_unwrap("1.3.101.112");

/// Randomness for encrypting one key, never to be used twice.
#[derive(Clone, Debug)]
pub struct Salt {
    /// For scrypt.
    pub salt: [u8; 16],
    /// For AES.
    pub iv: [u8; 16],
}

/// A key file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The passphrase does not open it.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// It is no private key that this program can use.
    #[error("not an ed25519 private key in PEM (PKCS#8): {0}")]
    Malformed(String),
}

impl Explain for KeyError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Whether a key file asks for a passphrase.
#[must_use]
pub fn is_encrypted(pem: &str) -> bool {
    pem.contains(EncryptedPrivateKeyInfoOwned::PEM_LABEL)
}

/// The key in a plain key file.
pub fn read_plain(pem: &str) -> Result<Signer, KeyError> {
    SigningKey::from_pkcs8_pem(pem).map(Signer::from_secret).map_err(malformed)
}

/// The key in an encrypted key file.
pub fn read_encrypted(pem: &str, passphrase: &str) -> Result<Signer, KeyError> {
    let (label, der) = SecretDocument::from_pem(pem).map_err(malformed)?;
    EncryptedPrivateKeyInfoOwned::validate_pem_label(label).map_err(malformed)?;
    let sealed = EncryptedPrivateKeyInfoOwned::try_from(der.as_bytes()).map_err(malformed)?;
    // A wrong passphrase shows as padding that is none or, one time in 256, as contents that are.
    let opened = sealed.decrypt(passphrase).map_err(|_| KeyError::WrongPassphrase)?;
    PrivateKeyInfoRef::try_from(opened.as_bytes()).map_err(|_| KeyError::WrongPassphrase)?;
    SigningKey::from_pkcs8_der(opened.as_bytes()).map(Signer::from_secret).map_err(malformed)
}

/// The plain key file of `signer`.
#[must_use]
pub fn write_plain(signer: &Signer) -> Zeroizing<String> {
    let der = private_key_info(signer, |info| SecretDocument::encode_msg(info));
    to_pem(PrivateKeyInfoRef::PEM_LABEL, &der.expect("32 bytes are always encodable"))
}

/// The encrypted key file of `signer`.
#[must_use]
pub fn write_encrypted(signer: &Signer, passphrase: &str, salt: &Salt) -> Zeroizing<String> {
    let (log_n, r, p) = SCRYPT;
    let cost = scrypt::Params::new(log_n, r, p).expect("the parameters are constant and good");
    let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt.salt, salt.iv)
        .expect("the parameters are constant and good");
    let der = private_key_info(signer, |info| info.encrypt_with_params(scheme, passphrase));
    to_pem(EncryptedPrivateKeyInfoOwned::PEM_LABEL, &der.expect("the parameters are good"))
}

/// The key as PKCS#8 has it: an octet string within an octet string, and no public key.
fn private_key_info<T>(signer: &Signer, encode: impl FnOnce(&PrivateKeyInfoRef<'_>) -> T) -> T {
    let mut inner = Zeroizing::new([0; 34]);
    inner[..2].copy_from_slice(&[0x04, 0x20]);
    inner[2..].copy_from_slice(signer.secret.as_bytes());
    let algorithm = pkcs8::AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    let inner = pkcs8::der::asn1::OctetStringRef::new(&inner[..]).expect("34 bytes are few enough");
    encode(&PrivateKeyInfoRef::new(algorithm, inner))
}

fn to_pem(label: &'static str, der: &SecretDocument) -> Zeroizing<String> {
    der.to_pem(label, LineEnding::LF).expect("what was encoded has a length")
}

fn malformed(error: impl std::fmt::Display) -> KeyError {
    KeyError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt { salt: [1; 16], iv: [2; 16] };

    #[test]
    fn plain_and_back() {
        let signer = Signer::from_seed([7; 32]);
        let pem = write_plain(&signer);
        // As `openssl genpkey -algorithm ed25519` would write this key.
        assert_eq!(
            pem.as_str(),
            "-----BEGIN PRIVATE KEY-----\n\
             MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n\
             -----END PRIVATE KEY-----\n"
        );
        assert!(!is_encrypted(&pem));
        assert_eq!(read_plain(&pem).unwrap().id(), signer.id());
    }

    #[test]
    fn encrypted_and_back() {
        let signer = Signer::from_seed([7; 32]);
        let pem = write_encrypted(&signer, "open sesame", &SALT);
        assert!(is_encrypted(&pem));
        assert_eq!(read_encrypted(&pem, "open sesame").unwrap().id(), signer.id());
        for wrong in ["", "open", "open sesame "] {
            assert_eq!(read_encrypted(&pem, wrong).unwrap_err(), KeyError::WrongPassphrase);
        }
    }

    #[test]
    fn other_files_are_no_keys() {
        for text in
            ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"]
        {
            assert!(matches!(read_plain(text), Err(KeyError::Malformed(_))), "{text}");
            assert!(matches!(read_encrypted(text, "x"), Err(KeyError::Malformed(_))), "{text}");
        }
    }
}
