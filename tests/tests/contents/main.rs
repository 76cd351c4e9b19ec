//! From a tree to a bundle to a prefix: what comes out is what went in, judged by GNU tar and
//! Python's tarfile; and where a bundle is broken, nothing outside the prefix is touched.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod auditing;
mod bench;
mod broken;
mod packing;
mod prefix;
mod there_and_back;
