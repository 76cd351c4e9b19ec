//! Signatures for people who check with `minisign` or `openssl` what they downloaded.
//!
//! They are made by the first key at hand that the repository lets sign for the release, and stand
//! beside the files that they sign, under a name that says which file that is and not by which key
//! or when. So one may be there already: of a publisher that died, or of another key of the role. It
//! is as good as ours if it verifies; anything else in its place is refused.

use cutover_formats::digest::from_hex;
use cutover_formats::layout;
use cutover_formats::minisign::{LARGEST, Minisig, Over};
use cutover_formats::tuf::key::Keys;
use cutover_repository::client::Client;
use cutover_repository::store::{Body, Created};

use super::keyring::Holder;
use super::{PublishError, Repo};

/// A file that gets a signature for stock tools beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minisigned {
    /// Where it stands.
    pub stored: String,
    /// What is signed of it.
    pub contents: Contents,
    /// What it is, in a line that is signed as well.
    pub comment: String,
}

/// What is signed of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// All of it, because it is small.
    Whole(Vec<u8>),
    /// Its BLAKE2b-512.
    Blake2b(Box<[u8; 64]>),
}

impl Contents {
    fn over(&self) -> Over<'_> {
        match self {
            Self::Whole(bytes) => Over::File(bytes),
            Self::Blake2b(digest) => Over::Blake2b(digest),
        }
    }
}

/// Signatures that are made, and whose others would do.
pub(super) struct Signatures<'f> {
    made: Vec<(&'f Minisigned, Minisig)>,
    keys: Keys,
}

/// Signs `files` with a key that is trusted with `target`, a file of the same release. None where
/// there is none at hand: that is said when the metadata is to be signed.
pub(super) fn sign<'f>(
    repo: &Repo<'_>,
    client: &mut Client<'_>,
    target: &str,
    files: &'f [Minisigned],
) -> Result<Signatures<'f>, PublishError> {
    let role = client.owner(target)?.role;
    let keys = client.keys(&role)?;
    let holders = repo.keyring.holders(&[&role])?;
    let mut made = Vec::new();
    if let Some(holder) = holders.iter().find(|holder| keys.contains_key(holder.id())) {
        for file in files {
            let sign = |message: &[u8]| raw(holder, message);
            let (over, comment) = (file.contents.over(), file.comment.as_str());
            made.push((file, Minisig::make(holder.public(), over, comment, sign)?));
        }
    }
    Ok(Signatures { made, keys })
}

fn raw(holder: &Holder, message: &[u8]) -> Result<[u8; 64], PublishError> {
    let sig = from_hex(&holder.sign(message)?.sig);
    Ok(sig.and_then(|sig| sig.try_into().ok()).expect("an ed25519 signature has 64 bytes"))
}

/// Puts the signatures beside their files, unless there are good ones.
pub(super) fn publish(
    repo: &Repo<'_>,
    Signatures { made, keys }: &Signatures<'_>,
) -> Result<(), PublishError> {
    for (file, signature) in made {
        let path = layout::stored_signature(&file.stored);
        let body = signature.to_string();
        if repo.store.create(&path, Body::Bytes(body.as_bytes()))? == Created::New {
            continue;
        }
        let there = String::from_utf8(repo.store.get(&path, LARGEST)?).ok();
        let there: Option<Minisig> = there.and_then(|text| text.parse().ok());
        let good = |it: Minisig| {
            it.trusted_comment() == file.comment
                && keys.values().any(|key| it.verifies(key, file.contents.over()))
        };
        if !there.is_some_and(good) {
            return Err(PublishError::OtherSignature { path });
        }
    }
    Ok(())
}
