//! A node's own state: where everything lies, and who may change it.
//!
//! [`root`] knows every path, [`disk`] is the one writer: whatever is kept goes through it, whole or
//! not at all. A [`node`] is a root with its settings, which [`owner`] lets be read. Whoever changes
//! one holds its [`lock`], writes what it is about to do ([`plan`]) to the [`journal`], and keeps a
//! [`receipt`] of it; [`standing`] and [`maintenance`] are what is remembered beyond that.
//!
//! Programs of others are run by [`program`], found again by [`leftovers`], and end when an [`interrupt`]
//! says so; [`placeholders`] are what their words may have, [`umask`] what their files may not.

pub mod disk;
pub mod interrupt;
pub mod journal;
pub mod leftovers;
pub mod lock;
pub mod maintenance;
pub mod node;
pub mod owner;
pub mod placeholders;
pub mod plan;
pub mod program;
pub mod receipt;
pub mod root;
pub mod standing;
pub mod umask;
