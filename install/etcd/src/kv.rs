//! Keys and values: looked up, compared, swapped.

use serde::{Deserialize, Serialize};

use super::lease::LeaseId;
use super::wire::{Bytes, Int, Kv};
use super::{Etcd, EtcdError};

/// A point in the history of the cluster; each change has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub(super) i64);

/// A key as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// What it says.
    pub value: Vec<u8>,
    /// When it came to be.
    pub created: Revision,
    /// When it was last changed.
    pub modified: Revision,
    /// The lease with which it goes away.
    pub lease: Option<LeaseId>,
}

/// What must hold for a transaction to succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key does not exist.
    Absent(String),
    /// The key was last changed then.
    Modified(String, Revision),
    /// The key says this.
    Says(String, Vec<u8>),
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Look a key up.
    Get(String),
    /// Let a key say something, as long as the lease lives, if there is one.
    Put(String, Vec<u8>, Option<LeaseId>),
    /// Remove a key.
    Delete(String),
}

/// All or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold.
    pub compare: Vec<Compare>,
    /// What is done if all of it does.
    pub then: Vec<Op>,
    /// What is done else.
    pub otherwise: Vec<Op>,
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOutcome {
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// The point in history at which it was done.
    pub revision: Revision,
    /// What each [`Op::Get`] of the branch that was taken has found, in order.
    pub found: Vec<Option<KeyValue>>,
}

/// What came of [`Etcd::replace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The key says what it should.
    Done,
    /// It was changed before, and stands like this now.
    Lost(Option<KeyValue>),
}

/// What came of [`Etcd::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The key is ours.
    Won,
    /// Somebody was first.
    Lost(KeyValue),
}

#[derive(Serialize)]
#[serde(tag = "target", rename_all = "UPPERCASE")]
enum WireCompare {
    Create { key: Bytes, result: &'static str, create_revision: Int },
    Mod { key: Bytes, result: &'static str, mod_revision: Int },
    Value { key: Bytes, result: &'static str, value: Bytes },
}

#[derive(Serialize)]
enum WireOp {
    #[serde(rename = "request_range")]
    Range { key: Bytes },
    #[serde(rename = "request_put")]
    Put { key: Bytes, value: Bytes, lease: Int },
    #[serde(rename = "request_delete_range")]
    Delete { key: Bytes },
}

#[derive(Serialize)]
struct WireTxn {
    compare: Vec<WireCompare>,
    success: Vec<WireOp>,
    failure: Vec<WireOp>,
}

#[derive(Deserialize)]
struct Header {
    revision: Int,
}

#[derive(Deserialize)]
struct Answer {
    header: Header,
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Default, Deserialize)]
struct Response {
    response_range: Option<Range>,
}

#[derive(Default, Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Kv>,
}

impl Etcd {
    /// A key, as the whole cluster sees it.
    pub fn get(&self, key: &str) -> Result<Option<KeyValue>, EtcdError> {
        let then = vec![Op::Get(key.to_owned())];
        let outcome = self.txn(&Txn { then, ..Txn::default() })?;
        Ok(outcome.found.into_iter().next().flatten())
    }

    /// Lets a key say something, whatever it said before.
    pub fn put(&self, key: &str, value: &[u8], lease: Option<LeaseId>) -> Result<(), EtcdError> {
        let then = vec![Op::Put(key.to_owned(), value.to_owned(), lease)];
        self.txn(&Txn { then, ..Txn::default() }).map(drop)
    }

    /// Removes a key, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), EtcdError> {
        let then = vec![Op::Delete(key.to_owned())];
        self.txn(&Txn { then, ..Txn::default() }).map(drop)
    }

    /// Lets a key say something else, unless it was changed since it was looked up. It keeps its
    /// lease.
    pub fn replace(&self, known: &KeyValue, value: &[u8]) -> Result<Swapped, EtcdError> {
        let outcome = self.txn(&Txn {
            compare: vec![Compare::Modified(known.key.clone(), known.modified)],
            then: vec![Op::Put(known.key.clone(), value.to_owned(), known.lease)],
            otherwise: vec![Op::Get(known.key.clone())],
        })?;
        Ok(match outcome.succeeded {
            true => Swapped::Done,
            false => Swapped::Lost(outcome.found.into_iter().next().flatten()),
        })
    }

    /// Makes a key that must not exist yet; it lives as long as the lease, which no other key that
    /// is created so should share. One that has this very value and lease already was made by a
    /// request whose answer was lost, and counts as won.
    pub fn create(&self, key: &str, value: &[u8], lease: LeaseId) -> Result<Created, EtcdError> {
        loop {
            let outcome = self.txn(&Txn {
                compare: vec![Compare::Absent(key.to_owned())],
                then: vec![Op::Put(key.to_owned(), value.to_owned(), Some(lease))],
                otherwise: vec![Op::Get(key.to_owned())],
            })?;
            match outcome.found.into_iter().next().flatten() {
                _ if outcome.succeeded => return Ok(Created::Won),
                Some(found) if found.lease == Some(lease) && found.value == value => {
                    return Ok(Created::Won);
                }
                Some(found) => return Ok(Created::Lost(found)),
                // Cannot be: it was looked up in the transaction that found it there.
                None => {}
            }
        }
    }

    /// Does a transaction.
    pub fn txn(&self, txn: &Txn) -> Result<TxnOutcome, EtcdError> {
        let answer: Answer = self.call("kv/txn", &WireTxn::from(txn))?;
        let ranges = answer.responses.into_iter().filter_map(|response| response.response_range);
        Ok(TxnOutcome {
            succeeded: answer.succeeded,
            revision: Revision(answer.header.revision.0),
            found: ranges.map(|range| range.kvs.into_iter().next().map(KeyValue::from)).collect(),
        })
    }
}

impl From<&Txn> for WireTxn {
    fn from(txn: &Txn) -> Self {
        let ops = |ops: &[Op]| ops.iter().map(WireOp::from).collect();
        Self {
            compare: txn.compare.iter().map(WireCompare::from).collect(),
            success: ops(&txn.then),
            failure: ops(&txn.otherwise),
        }
    }
}

impl From<&Compare> for WireCompare {
    fn from(compare: &Compare) -> Self {
        let result = "EQUAL";
        match compare {
            Compare::Absent(key) => {
                Self::Create { key: Bytes::of(key), result, create_revision: Int(0) }
            }
            Compare::Modified(key, at) => {
                Self::Mod { key: Bytes::of(key), result, mod_revision: Int(at.0) }
            }
            Compare::Says(key, value) => {
                Self::Value { key: Bytes::of(key), result, value: Bytes(value.clone()) }
            }
        }
    }
}

impl From<&Op> for WireOp {
    fn from(op: &Op) -> Self {
        match op {
            Op::Get(key) => Self::Range { key: Bytes::of(key) },
            Op::Put(key, value, lease) => Self::Put {
                key: Bytes::of(key),
                value: Bytes(value.clone()),
                lease: Int(lease.map_or(0, |lease| lease.0)),
            },
            Op::Delete(key) => Self::Delete { key: Bytes::of(key) },
        }
    }
}

impl From<Kv> for KeyValue {
    fn from(kv: Kv) -> Self {
        Self {
            key: String::from_utf8_lossy(&kv.key.0).into_owned(),
            value: kv.value.0,
            created: Revision(kv.create_revision.0),
            modified: Revision(kv.mod_revision.0),
            lease: Some(LeaseId(kv.lease.0)).filter(|lease| lease.0 != 0),
        }
    }
}
