//! Metadata that is still being signed.
//!
//! Where one person's key does not suffice, a file goes from hand to hand until enough have signed
//! the same bytes. What it still takes is said by its [`Need`]s: each is a set of keys and how many
//! of them must sign. A new root has two, because the keys before and after it must both agree.

use super::canonical::to_canonical;
use super::fields::{Fields, Malformed, int};
use super::json::Json;
use super::key::{Keys, keys_to_json, parse_keys};
use super::metadata::{Head, Signature, Signed, Unverified, envelope};
use super::verify::RoleKeys;

/// A signed value, with the signatures that it has so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    signed: Json,
    signatures: Vec<Signature>,
}

/// Keys of which so many must have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The keys by id; others may be among them.
    pub keys: Keys,
    /// Which ids count, and how many of them it takes.
    pub who: RoleKeys,
}

impl Draft {
    /// Metadata that nobody has signed.
    #[must_use]
    pub fn new<T: Signed>(signed: &T) -> Self {
        Self { signed: signed.to_json(), signatures: Vec::new() }
    }

    pub(super) fn parse(json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new("metadata", json)?;
        let signatures = fields.list("signatures")?.into_iter().map(Signature::parse);
        let draft = Self {
            signatures: signatures.collect::<Result<_, _>>()?,
            signed: fields.required("signed")?,
        };
        draft.head()?;
        Ok(draft)
    }

    /// A metadata file as it is published.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let json = Json::parse(bytes);
        Self::parse(json.map_err(|error| Malformed::new("metadata", error.to_string()))?)
    }

    /// Its version and expiry.
    pub fn head(&self) -> Result<Head, Malformed> {
        Head::of(self.signed.clone())
    }

    /// What it says, read as a kind of metadata. Nobody vouches for it.
    pub fn read<T: Signed>(&self) -> Result<T, Malformed> {
        let bytes = envelope(self.signed.clone(), &[]);
        Ok(Unverified::<T>::parse(&bytes)?.signed)
    }

    /// What signatures are over.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        to_canonical(&self.signed)
    }

    /// Whether both say the same, whoever signed.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.signed == other.signed
    }

    /// Adds a signature; a key signs once.
    pub fn add(&mut self, signature: Signature) {
        self.signatures.retain(|one| one.keyid != signature.keyid);
        self.signatures.push(signature);
        self.signatures.sort_by(|a, b| a.keyid.cmp(&b.keyid));
    }

    /// Takes over the signatures of another copy that are good for one of `needs`.
    pub fn merge<'n>(&mut self, other: &Self, needs: impl IntoIterator<Item = &'n Need>) {
        for keyid in needs.into_iter().flat_map(|need| need.signed(other)) {
            let theirs = other.signatures.iter().find(|one| one.keyid == keyid);
            theirs.cloned().into_iter().for_each(|one| self.add(one));
        }
    }

    /// The metadata file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        envelope(self.signed.clone(), &self.signatures)
    }

    pub(super) fn to_json(&self) -> Json {
        let signatures = self.signatures.iter().map(Signature::to_json).collect();
        [("signatures", Json::Array(signatures)), ("signed", self.signed.clone())]
            .into_iter()
            .collect()
    }
}

impl Need {
    /// Only the keys that count are kept.
    #[must_use]
    pub fn new(keys: &Keys, who: &RoleKeys) -> Self {
        let counts = |id: &&String| who.keyids.contains(*id);
        let keys = keys.keys().filter(counts).map(|id| (id.clone(), keys[id].clone())).collect();
        Self { keys, who: who.clone() }
    }

    /// The ids of distinct keys that have signed, and whose signatures are good.
    #[must_use]
    pub fn signed(&self, draft: &Draft) -> Vec<String> {
        self.who.signers(&self.keys, &draft.message(), &draft.signatures).into_values().collect()
    }

    /// The ids of those that have not.
    #[must_use]
    pub fn unsigned(&self, draft: &Draft) -> Vec<String> {
        let signed = self.signed(draft);
        self.who.keyids.iter().filter(|id| !signed.contains(id)).cloned().collect()
    }

    /// How many signatures it still takes.
    #[must_use]
    pub fn missing(&self, draft: &Draft) -> u64 {
        self.who.threshold.saturating_sub(self.signed(draft).len() as u64)
    }

    pub(super) fn to_json(&self) -> Json {
        let [keyids, (threshold, _)] = self.who.fields();
        let threshold = (threshold, int(self.who.threshold));
        [keyids, threshold, ("keys", keys_to_json(&self.keys))].into_iter().collect()
    }

    pub(super) fn parse(json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new("needs", json)?;
        Ok(Self { who: RoleKeys::parse(&mut fields)?, keys: parse_keys(fields.fields("keys")?)? })
    }
}
