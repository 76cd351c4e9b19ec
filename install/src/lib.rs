//! The node's side of Cutover: from a repository that nobody need trust to a running service.
//!
//! One install, in the order of the modules: [`resolve`] finds the release in signed metadata,
//! [`plan`] decides what to do, [`transaction`] does it — [`requires`], [`fetch`], [`contents`],
//! [`build`], [`configure`], then [`swap`] together with the [`gate`] — with a [`journal`] that
//! [`recover`] reads after a crash, and a [`receipt`] at the end. [`situation`] says what is there.
//!
//! What needs none of that stands below, in crates of its own: `cutover-node` (a node's own state, with
//! the [`disk`], which is the one module that writes), `cutover-gate`, `cutover-pool`, `cutover-etcd`.
//!
//! [`rehearse`] does all of that but the change-over aside, and takes it away again.
//!
//! Releases and nodes add commands and [`check`]s to that by name; a Rust program that wants an
//! installer of its own adds [`stage`]s in code, to the [`installer`] that the commands use too.

pub mod audit;
pub mod build;
pub mod check;
pub mod cli;
pub mod commands;
pub mod configure;
pub mod contents;
mod examine;
pub mod explain;
pub mod fetch;
pub mod folding;
pub mod installer;
pub mod integrity;
pub mod once;
pub mod places;
pub mod plan;
pub mod prune;
pub mod recover;
pub mod rehearse;
pub mod requires;
pub mod resolve;
pub mod schema;
pub mod service_log;
pub mod situation;
pub mod stage;
pub mod swap;
pub mod transaction;
pub mod withdrawn;

pub use cutover_gate as gate;
pub use cutover_node::{disk, journal, lock, node, receipt, root, standing, umask};
pub(crate) use cutover_node::{interrupt, leftovers, maintenance, owner, placeholders, program};
pub use cutover_pool as pool;
