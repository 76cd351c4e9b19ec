//! Placeholder.

pub mod audit;
pub mod disk;
pub mod gate;
pub mod root;
pub mod unpack;
