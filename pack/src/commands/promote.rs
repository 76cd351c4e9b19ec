//! `pack promote`: a channel points at a release.

use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_publish::{self as publish, Order};
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::repository::RepoArgs;
use crate::repository::{Opened, notes, only_product, published};

/// What `pack promote` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release that the channel is to point at.
    #[arg(value_name = "VERSION")]
    version: Version,
    /// The channel; a branch's channel (`b.<name>`) is made by pointing it somewhere.
    #[arg(value_name = "CHANNEL")]
    channel: Channel,
    /// Go back: the channel may point at a newer version now.
    #[arg(long)]
    older: bool,
    #[command(flatten)]
    repo: RepoArgs,
    /// The product; without it, the only one that the repository holds.
    #[arg(long, env = "CUTOVER_PRODUCT", value_name = "NAME")]
    product: Option<Product>,
}

#[derive(Serialize)]
struct Moved {
    channel: Channel,
    product: Product,
    version: Version,
    snapshot: u64,
}

/// Moves the channel.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.repo)?;
    let notes = notes(output);
    let repo = opened.repo(&notes);
    let product = match &args.product {
        Some(product) => product.clone(),
        None => only_product(&mut publish::view(&repo)?)?,
    };
    let order = if args.older { Order::Any } else { Order::Forward };
    let done = publish::promote(&repo, &product, &args.version, (&args.channel, order));
    let done = published(done)?;
    let (channel, version, snapshot) = (args.channel.clone(), args.version.clone(), done.snapshot);
    let moved = Moved { channel, product, version, snapshot };
    output.result(&moved, || {
        format!(
            "{} of {} is {} (snapshot {snapshot})\n",
            moved.channel, moved.product, moved.version
        )
    });
    Ok(())
}
