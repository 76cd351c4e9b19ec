//! The HTTP face of a repository.
//!
//! A repository needs no server; this one adds comfort and no trust: files fast, publishing with
//! a bearer token, and a page for people. What it answers is specified in
//! [`cutover_repository::http`]. One current-thread runtime per core serves connections; nothing on
//! it waits for a disk.

pub mod args;
mod coding;
mod commit;
pub mod condition;
pub mod confined;
mod connection;
mod download;
mod expiry;
mod keeper;
mod listing;
mod metrics;
pub mod name;
mod publish;
mod reply;
mod route;
pub mod serve;
mod site;
mod tokens;
mod uncommitted;
mod upload;
mod visible;
