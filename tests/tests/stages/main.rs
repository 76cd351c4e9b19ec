//! Stages and checks of releases and nodes, on a real node with a real service.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod checks;
mod common;
mod crashes;
mod fleet;
mod going_back;
mod interrupted;
mod own;
mod pooling;
mod running;
mod schema;
mod tls;
