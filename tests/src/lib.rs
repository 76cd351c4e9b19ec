//! End-to-end tests of the Cutover programs: real processes, real sockets, real applications.
//!
//! What tests share is here: [`world`] makes a repository and nodes in a scratch folder and runs
//! the programs there; [`attacker`] serves the repository as nobody should; [`traffic`] is clients that
//! keep asking and write down what they got, [`swaps`] changes releases under them, [`soak`]
//! sees whether what runs for long grows; [`parts`] starts what stands around a node; [`strace`] kills
//! programs at chosen system calls, [`image`] is a disk that fills up or loses power, [`trial`] tries
//! that on a node again and again, and [`aftermath`] says what must hold of a node whatever happened to
//! it; [`wheel`] is one to be vendored, [`foreign`] what fuzzers run.

pub mod aftermath;
pub mod attacker;
pub mod foreign;
pub mod image;
pub mod parts;
mod ports;
pub mod soak;
pub mod strace;
pub mod swaps;
pub mod traffic;
pub mod trial;
pub mod wheel;
pub mod world;
