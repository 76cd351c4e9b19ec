//! Contents that are hostile although every signature on them is right: the signer was careless, coerced, or is
//! the attacker. The table is the second half of the trust requirements; all of it runs through the real `install`.
//!
//! Each row asserts the exit status, that the message names what is wrong, and that everything in the scratch
//! folder (the node, its other releases, `current`, what lies beside the node) is as it was.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the row that fails is the last one named")]

mod bundles;
mod descriptors;
mod forge;
mod lists;
