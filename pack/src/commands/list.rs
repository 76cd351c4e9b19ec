//! `pack list`: releases and channels.

use std::path::PathBuf;

use cutover_formats::channel::Pointer;
use cutover_formats::exit::Exit;
use cutover_formats::layout;
use cutover_formats::name::Product;
use cutover_publish::keyring::TrustFolder;
use cutover_repository::client::{Client, ReleaseEntry, caps};
use cutover_repository::open_read;
use cutover_repository::store::Read;
use cutover_terminal::{Failure, NONE, Output, Table, bytes};
use jiff::Timestamp;
use serde::Serialize;

use crate::repository::{location, trusted_folder};

/// What `pack list` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The repository: a path, file:///path, or http(s)://.
    #[arg(long, env = "CUTOVER_REPO", value_name = "URL")]
    repo: String,
    /// The root to trust; without it, the one in the folder of keys.
    #[arg(long, value_name = "ROOT.json")]
    trust: Option<PathBuf>,
    /// The folder of keys, of which only root.json is read.
    #[arg(long, env = "CUTOVER_KEYS", value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Only this product.
    #[arg(long, env = "CUTOVER_PRODUCT", value_name = "NAME")]
    product: Option<Product>,
}

#[derive(Serialize)]
struct Listing {
    releases: Vec<Release>,
    channels: Vec<Pointed>,
}

#[derive(Serialize)]
struct Release {
    product: String,
    version: String,
    released: Option<Timestamp>,
    size: Option<u64>,
    channels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<String>,
}

#[derive(Serialize)]
struct Pointed {
    channel: String,
    product: String,
    version: String,
}

/// Lists.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open_read(&location(&args.repo)?)?;
    let trust = trust(args, store.as_ref(), output)?;
    let mut client = Client::open(store.as_ref(), trust.path().to_owned(), Timestamp::now())?;
    let channels = client.channels(args.product.as_ref())?;
    let releases = client.releases(args.product.as_ref())?;
    let mut listed = Vec::new();
    for entry in &releases {
        let withdrawal =
            cutover_publish::withdrawn(&mut client, &entry.product, &entry.version, None)?;
        listed.push(release(entry, &channels, withdrawal));
    }
    let listing = Listing { releases: listed, channels: channels.iter().map(pointed).collect() };
    output.result(&listing, || text(&listing));
    Ok(())
}

/// What to trust: the root as given, that of the keys, or, for want of anything better, what the
/// repository says of itself.
fn trust(args: &Args, store: &dyn Read, output: &Output) -> Result<TrustFolder, Failure> {
    if let Some(trust) = trusted_folder(args.trust.as_deref(), args.keys.as_deref(), store)? {
        return Ok(trust);
    }
    output.warn(format!(
        "nothing vouches for {}: its own first root is taken (--trust or --keys names yours)",
        store.describe()
    ));
    match store.get(layout::FIRST_ROOT, caps::ROOT) {
        Ok(root) => Ok(TrustFolder::temporary(&root)?),
        Err(error) if error.is_not_found() => {
            let message = format!("there is no repository at {}", store.describe());
            Err(Failure::new(Exit::NotFound, message).hint("`pack repo init` makes one"))
        }
        Err(error) => Err(error.into()),
    }
}

fn release(entry: &ReleaseEntry, channels: &[Pointer], withdrawn: Option<String>) -> Release {
    let points = |pointer: &&Pointer| {
        (&pointer.product, &pointer.version) == (&entry.product, &entry.version)
    };
    Release {
        product: entry.product.to_string(),
        version: entry.version.to_string(),
        released: entry.released,
        size: entry.bundle,
        channels: channels.iter().filter(points).map(|one| one.channel.to_string()).collect(),
        withdrawn,
    }
}

fn pointed(pointer: &Pointer) -> Pointed {
    Pointed {
        channel: pointer.channel.to_string(),
        product: pointer.product.to_string(),
        version: pointer.version.to_string(),
    }
}

fn text(listing: &Listing) -> String {
    if listing.releases.is_empty() {
        return "no releases yet\n".to_owned();
    }
    let mut table = Table::new(["product", "version", "released", "size", "channels"]);
    for release in &listing.releases {
        table.row([
            release.product.clone(),
            release.version.clone(),
            release.released.map_or_else(|| NONE.to_owned(), |time| time.to_string()),
            release.size.map_or_else(|| NONE.to_owned(), bytes),
            match &release.withdrawn {
                Some(why) => format!("{} WITHDRAWN ({why})", release.channels.join(" ")),
                None => release.channels.join(" "),
            },
        ]);
    }
    table.to_string()
}
