//! A disk that is full, broken or read-only, at any moment of an install: it ends on the old release
//! or the new, says why, and the next command goes on from there.
//!
//! `CUTOVER_STRIDE` as for `killed`.

mod full;
mod injected;
