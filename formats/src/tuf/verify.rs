//! Counting signatures.
//!
//! Threats: reaching a threshold by one key that signs twice, or that is listed under two ids.
//! What counts is distinct *keys*, among those the delegator authorises. A bad signature beside
//! enough good ones is no reason to refuse: a key may have been replaced, or be of a type that only
//! newer programs know.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Fields, Malformed, int};
use super::json::{Json, Object};
use super::key::Keys;
use super::metadata::{Signature, Signed, Unverified, Verified};
use super::refusal::Refusal;

/// Who may sign for a role, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKeys {
    /// Key ids, each once.
    pub keyids: Vec<String>,
    /// How many distinct keys are needed, from 1.
    pub threshold: u64,
}

impl RoleKeys {
    pub(super) fn parse(fields: &mut Fields) -> Result<Self, Malformed> {
        let keyids = fields.texts("keyids")?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = keyids.iter().find(|keyid| !seen.insert(*keyid)) {
            return Err(fields.object_to("keyids", format!("{twice:?} repeats")));
        }
        Ok(Self { keyids, threshold: fields.positive("threshold")? })
    }

    pub(super) fn fields(&self) -> [(&'static str, Json); 2] {
        let keyids = self.keyids.iter().map(|keyid| keyid.as_str().into()).collect();
        [("keyids", Json::Array(keyids)), ("threshold", int(self.threshold))]
    }

    /// The distinct usable keys, by what they are and not by what they are called.
    pub(super) fn identities(&self, keys: &Keys) -> BTreeSet<Vec<u8>> {
        self.keyids.iter().filter_map(|keyid| keys.get(keyid)?.identity()).collect()
    }

    /// The distinct authorised keys whose signatures of `message` are good, with their ids.
    pub(super) fn signers(
        &self,
        keys: &Keys,
        message: &[u8],
        signatures: &[Signature],
    ) -> BTreeMap<Vec<u8>, String> {
        let authorised = |keyid: &String| self.keyids.contains(keyid);
        let signers = signatures.iter().filter(|one| authorised(&one.keyid));
        let valid = signers.filter_map(|one| {
            let key = keys.get(&one.keyid)?;
            let identity = key.verifies(message, &one.sig).then(|| key.identity())??;
            Some((identity, one.keyid.clone()))
        });
        valid.collect()
    }

    /// Vouches for metadata of `role` that enough of `keys` have signed.
    pub fn verify<T: Signed>(
        &self,
        role: &str,
        keys: &Keys,
        unverified: Unverified<T>,
    ) -> Result<Verified<T>, Refusal> {
        let signers = self.signers(keys, &unverified.message, &unverified.signatures);
        let signed = signers.len() as u64;
        if signed < self.threshold {
            let (role, threshold) = (role.to_owned(), self.threshold);
            return Err(Refusal::Signatures { role, signed, threshold });
        }
        Ok(Verified { value: unverified.signed, keyids: signers.into_values().collect() })
    }
}

/// Role keys with the unknown fields that stood beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Who signs.
    pub keys: RoleKeys,
    /// Unknown fields, kept.
    pub unknown: Object,
}
