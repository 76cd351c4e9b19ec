//! Reaching a Cutover repository.
//!
//! A repository is static files. What a program may do with them is one of three narrow,
//! synchronous traits, each extending the one before: [`Read`](store::Read) ⊂
//! [`Create`](store::Create) ⊂ [`Swap`](store::Swap). A [`Location`](location::Location) names a
//! repository; [`open_read`], [`open_write`] and [`open_new`] turn it into a store.
//!
//! None of this is trusted: a store moves bytes, and whoever asked for them verifies them.

pub mod child;
pub mod client;
pub mod file;
pub mod http;
pub mod location;
pub mod mirrors;
pub mod patience;
pub mod private;
pub mod store;
mod temporary;
pub mod trusted_users;

pub use location::{open_new, open_read, open_write};
