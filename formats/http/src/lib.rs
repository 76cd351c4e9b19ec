//! What both of our HTTP servers need, the gate and `repo-server`.
//!
//! What of a file a request is to get is decided by [`terms`], and read by [`mod@file`]. A [`client`] has its
//! share of a server and no more, and a [`pace`] to keep, which [`stall`] watches. [`metrics`] are text.

pub mod client;
pub mod file;
pub mod metrics;
pub mod pace;
pub mod send_headers;
pub mod stall;
pub mod terms;
