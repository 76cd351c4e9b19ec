//! `pack withdraw`: a release is taken back.

use cutover_formats::exit::Exit;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_formats::withdrawn::LONGEST_REASON;
use cutover_publish as publish;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::repository::RepoArgs;
use crate::repository::{Opened, notes, only_product, published};

/// What `pack withdraw` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release that is not to be installed any more. This cannot be undone.
    #[arg(value_name = "VERSION")]
    version: Version,
    /// Why: nodes that run it show this to their operators.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Withdraw it from this channel only; may be repeated. Without it, from all but those of
    /// branches. Nodes refuse its number wherever the mark stands.
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<Channel>,
    #[command(flatten)]
    repo: RepoArgs,
    /// The product; without it, the only one that the repository holds.
    #[arg(long, env = "CUTOVER_PRODUCT", value_name = "NAME")]
    product: Option<Product>,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text {
        "" => Err("it has to say something".to_owned()),
        _ if text.chars().any(char::is_control) => Err("it is one line of text".to_owned()),
        _ if text.len() > LONGEST_REASON => Err(format!("at most {LONGEST_REASON} bytes")),
        _ => Ok(text.to_owned()),
    }
}

#[derive(Serialize)]
struct Taken {
    published: bool,
    product: Product,
    version: Version,
    channels: Vec<Channel>,
    snapshot: u64,
}

/// Withdraws it.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.repo)?;
    let notes = notes(output);
    let repo = opened.repo(&notes);
    let mut view = publish::view(&repo)?;
    let product = match &args.product {
        Some(product) => product.clone(),
        None => only_product(&mut view)?,
    };
    let mut channels = args.channels.clone();
    if channels.is_empty() {
        channels = view.client.channel_names()?;
        channels.retain(|channel| !channel.is_branch());
    }
    if channels.is_empty() {
        return Err(Failure::new(Exit::NotFound, "the repository has no channel"));
    }
    drop(view);
    let done = publish::withdraw(&repo, &product, &args.version, &channels, &args.reason);
    let done = published(done)?;
    let names: Vec<_> = channels.iter().map(ToString::to_string).collect();
    let (version, snapshot) = (args.version.clone(), done.snapshot);
    let taken = Taken { published: true, product, version, channels, snapshot };
    output.result(&taken, || {
        let Taken { product, version, .. } = &taken;
        let from = names.join(", ");
        format!("{product} {version} is withdrawn from {from} (snapshot {snapshot})\n")
    });
    Ok(())
}
