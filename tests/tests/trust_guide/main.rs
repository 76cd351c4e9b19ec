//! `formats/docs/trust.md`, followed to the letter: what is stolen or lost is stolen or lost, and the
//! commands of the guide are run as they stand there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod daily;
mod keeper;
mod roots;
mod stolen;
