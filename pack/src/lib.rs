//! What `pack` is made of, for its own program and for the end-to-end tests.

pub mod bundle;
pub mod lock;
