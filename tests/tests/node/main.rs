//! What a node makes of what it finds on its own disk: damage, modes, owners, and what it can tell before
//! it acts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod environment;
mod foreign_words;
mod links;
mod modes;
mod owner;
mod planning;
mod withdrawn;
