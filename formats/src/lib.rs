//! What the Cutover programs agree on.
//!
//! This crate is pure: bytes in, values out. It opens no file, reaches no network, reads no
//! clock and starts no thread (but one to lend a [template] its stack); whoever needs one of these passes
//! in what it read. The formats are specified in `formats/docs/*.md`, which are included in the modules that implement them;
//! `formats/docs/glossary.md` has the words.
//!
//! The order in which the modules build on each other: names and digests, the
//! [file list](filelist), the [bundle] that carries it, the [descriptor] that signs for both, the
//! repository's [layout], its [metadata](tuf) and [keys], what people check without our tools
//! ([checksums], [minisign]), and the two files people write by hand,
//! [`release.toml`](release_toml) and [`node.toml`](node_toml), with the [inputs](input) that the one
//! declares and the other gives, and the [templates](template) that they are put into.

pub mod bundle;
pub mod channel;
pub mod checksums;
pub mod descriptor;
pub mod digest;
mod document;
pub mod exit;
pub mod filelist;
pub mod format;
pub mod input;
pub mod keys;
pub mod layout;
pub mod minisign;
pub mod name;
pub mod node_toml;
pub mod path;
pub mod period;
pub mod release_toml;
pub mod schema;
pub mod secret;
pub mod send_headers;
pub mod size;
pub mod spelling;
pub mod stage;
pub mod template;
pub mod tuf;
pub mod version;
pub mod withdrawn;
