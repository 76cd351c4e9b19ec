//! Repository metadata: The Update Framework, specification 1.0.
//!
#![doc = include_str!("../docs/repository.md")]
//!
//! # How the modules build on each other
//!
//! Bytes become a [`json`] value, whose [`canonical`] form is what signatures are over. A
//! [`metadata`] file is [`Unverified`](metadata::Unverified) until [`verify`] has counted the
//! signatures of a role's [`key`]s; only then is there a [`Verified`](metadata::Verified)
//! [`root`], [`timestamp`], [`snapshot`] or [`targets`] to look into. [`trusted`] is the client's
//! workflow without any I/O: each stage takes the bytes of the next file and gives the next stage
//! or a [`Refusal`](refusal::Refusal). [`search`] finds a target in the delegations, asking for one
//! role after the other. A [`draft`] is metadata that is still being signed, a [`pending`] change
//! the file in which drafts are carried from one signer to the next.

pub mod canonical;
pub mod draft;
pub mod expiry;
pub mod fields;
pub mod json;
pub mod key;
pub mod metadata;
pub mod names;
pub mod pattern;
pub mod pending;
pub mod refusal;
pub mod review;
pub mod root;
pub mod search;
pub mod signed_by;
pub mod snapshot;
pub mod targets;
pub mod timestamp;
pub mod trusted;
pub mod verify;

#[cfg(test)]
mod attacks;
