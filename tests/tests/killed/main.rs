//! An installer that is killed right before any of the system calls that change something: the next
//! command ends it in the old release or the new, whole, and nothing is left lying about. And a gate
//! that is.
//!
//! A first run tells which calls there are; then one run each is killed there. `CUTOVER_STRIDE` (a
//! number) says how many of them are passed over each time: 1 tries all, which takes a while; the
//! default tries one in twenty-four, others in each test.

mod apply;
mod gate;
mod handover;
mod installer;
mod others;
mod staged;
mod twice;
