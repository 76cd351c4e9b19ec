//! Placeholder.

pub mod gate;
pub mod root;
