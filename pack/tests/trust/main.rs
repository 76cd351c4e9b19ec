//! Living with keys, as it is typed: thresholds, changes carried by hand, rotation, revocation.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod channels;
mod folders;
mod review;
mod rotation;
mod scene;
mod signatures;
mod signers;
