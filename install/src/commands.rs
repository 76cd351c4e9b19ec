//! The commands, one file each: `Args`, what may be typed, and `run`.

pub mod fetch;
pub mod gate;
pub mod init;
pub mod install;
pub mod list;
pub mod maintenance;
pub mod plan;
pub mod prune;
pub mod resume;
pub mod rollback;
pub mod status;
pub mod verify;

use std::collections::BTreeSet;

use cutover_formats::name::Product;
use cutover_formats::version::{Version, Wanted};
use cutover_repository::client::Client;
use cutover_repository::location::Location;
use cutover_repository::store::Read;
use cutover_terminal::{Exit, Failure, Output};
use jiff::Timestamp;

use crate::lock::NodeLock;
use crate::node::Node;
use crate::receipt::Outcome;
use crate::recover::recover;
use crate::resolve::{Release, resolve};
use crate::standing::Standings;

/// The repository that the node takes releases from.
fn store(node: &Node) -> Result<Box<dyn Read>, Failure> {
    let location: Location = node.settings.repository.parse()?;
    Ok(cutover_repository::open_read(&location)?)
}

/// The release that is asked for, or that the node's channel names, by freshly verified metadata.
fn resolve_wanted(
    node: &Node,
    store: &dyn Read,
    wanted: Option<&Wanted>,
) -> Result<Release, Failure> {
    let channel = node.settings.channel.clone().map(Wanted::Channel);
    let wanted = wanted.cloned().or(channel).ok_or_else(|| {
        Failure::new(Exit::Usage, "no version is given, and node.toml follows no channel")
            .hint("give a version, a requirement or a channel: `install 1.1.0`, `install stable`")
    })?;
    let mut client = Client::open(store, node.root.trust(), Timestamp::now())?;
    client.refresh()?;
    let standings = Standings::load(&node.root)?;
    let copy = |version: &Version| std::fs::read(node.root.descriptor(version)).ok();
    Ok(resolve(&mut client, &node.settings.product, &wanted, &standings, &copy)?)
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

/// Takes the node's lock and ends what a crash cut off.
fn lock(node: &Node, doing: &str, output: &Output) -> Result<NodeLock, Failure> {
    let lock = NodeLock::take(&node.root, doing, Timestamp::now())?;
    if let Some(receipt) = recover(node, output)? {
        output.note(match &receipt.outcome {
            Outcome::Done => format!("the node is on {}", receipt.to),
            Outcome::Unchanged { .. } | Outcome::SwitchedBack { .. } => match &receipt.from {
                Some(from) => format!("the node is on {from} as before"),
                None => "the node is on no release, as before".to_owned(),
            },
        });
    }
    Ok(lock)
}
