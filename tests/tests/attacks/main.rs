//! A node under attack: real servers that lie, with and without stolen keys, against the real `install`.
//!
//! Each attack asserts the exit code, the message, and that prefix, `current` and trusted metadata are
//! as they were; then the server relents, and the same node goes on. `formats/docs/trust-tests.md` says
//! which test stands for which requirement.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod besieged;
mod delegations;
mod online_keys;
mod roots;
mod servers;
mod stored;
