//! The server over real sockets, and the HTTP store against it and against worse servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod client;
mod commits;
mod common;
mod life;
mod limits;
mod online;
mod publishing;
mod reading;
