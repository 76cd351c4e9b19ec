//! The commands, one file each: `Args`, what may be typed, and `run`.

pub mod apply;
pub mod config;
pub mod explain;
pub mod fetch;
pub mod gate;
pub mod init;
pub mod install;
pub mod list;
pub mod log;
pub mod logs;
pub mod maintenance;
pub mod plan;
pub mod prune;
pub mod rehearse;
pub mod resume;
pub mod rollback;
pub mod status;
pub mod verify;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use cutover_formats::name::Product;
use cutover_repository::client::Client;
use cutover_terminal::{Exit, Failure, Output};

use crate::installer::Installer;
use crate::interrupt;
use crate::lock::NodeLock;
use crate::node::Node;

/// Which node.
#[derive(Debug, clap::Args)]
pub struct RootArgs {
    /// The node's root [default: the folder you are in]
    #[arg(long, env = "CUTOVER_ROOT", value_name = "DIR", global = true)]
    pub root: Option<PathBuf>,
}

impl RootArgs {
    /// The root, as given or where we are.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        match &self.root {
            Some(root) => Ok(root.clone()),
            None => std::env::current_dir().map_err(|error| {
                Failure::new(Exit::of_io(&error), format!("the current folder: {error}"))
            }),
        }
    }

    /// The node there.
    pub fn node(&self) -> Result<Node, Failure> {
        Ok(Node::open(&self.path()?)?)
    }
}

/// The repository's product, where it has one only.
fn only_product(client: &mut Client<'_>) -> Result<Product, Failure> {
    let releases = client.releases(None)?;
    let products: BTreeSet<Product> = releases.into_iter().map(|entry| entry.product).collect();
    let names: Vec<&str> = products.iter().map(Product::as_str).collect();
    let message = match &names[..] {
        [_] => return Ok(products.into_iter().next().expect("there is one")),
        [] => "the repository holds no release yet, so the product must be named".to_owned(),
        _ => format!("the repository holds several products: {}", names.join(", ")),
    };
    Err(Failure::new(Exit::Usage, message))
}

/// From now on Ctrl-C has what is under way go back in good order.
fn heed_signals(output: &Output) -> Result<(), Failure> {
    interrupt::heed(output).map_err(without_signals)
}

/// Signals cannot be waited for.
fn without_signals(error: io::Error) -> Failure {
    let mut failure =
        Failure::new(Exit::of_io(&error), format!("cannot wait for signals: {error}"));
    failure.hints = Exit::hints_of_io(&error);
    failure
}

/// Takes the node's lock and ends what a crash cut off.
fn lock(node: &Node, doing: &str, output: &Output) -> Result<NodeLock, Failure> {
    Installer::of(node.clone()).lock(doing, output)
}
