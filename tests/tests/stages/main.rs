//! Stages and checks of releases and nodes, on a real node with a real service.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod blame;
mod checks;
mod common;
mod crashes;
mod fleet;
mod going_back;
mod housekeeping;
mod interrupted;
mod late_gate;
mod own;
mod pooling;
mod replaced;
mod running;
mod schema;
mod tls;
