//! `pack channels`: a new channel, with the keys of its promoters, and one that goes.

use cutover_formats::exit::Exit;
use cutover_formats::name::Channel;
use cutover_formats::tuf::key::Key;
use cutover_publish::channels::{self, Promoters, role_of};
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use super::keys::change::public;
use crate::repository::RepoArgs;
use crate::repository::{Opened, notes, published};

/// What `pack channels` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a channel that has promoters of its own; targets and the promoters must sign.
    Add(Add),
    /// Remove a channel; nodes that follow it find nothing there any more. Targets must sign.
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The new channel.
    #[arg(value_name = "NAME")]
    channel: Channel,
    /// A promoter's public key, or a file of it, with whose it is before a `=`; may be repeated.
    /// Without it, all keys of the channel in the folder of keys, else those of all channels.
    #[arg(long = "key", value_name = "[WHO=]PUBLICKEY|FILE")]
    promoters: Vec<String>,
    /// How many of them must sign.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threshold: u64,
    #[command(flatten)]
    repo: RepoArgs,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// The channel.
    #[arg(value_name = "NAME")]
    channel: Channel,
    #[command(flatten)]
    repo: RepoArgs,
}

#[derive(Serialize)]
struct Changed {
    published: bool,
    channel: Channel,
    snapshot: u64,
}

/// Dispatches.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Add(args) => add(args, output),
        Command::Remove(args) => remove(args, output),
    }
}

fn add(args: &Add, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.repo)?;
    let given = args.promoters.iter().map(|text| named(text)).collect::<Result<Vec<_>, _>>()?;
    let keys = if given.is_empty() { own(&opened, &args.channel)? } else { given };
    let who = Promoters { keys, threshold: args.threshold };
    let notes = notes(output);
    let snapshot = published(channels::add(&opened.repo(&notes), &args.channel, &who))?;
    let changed = Changed { published: true, channel: args.channel.clone(), snapshot };
    output.result(&changed, || {
        format!("channel {} is there (snapshot {snapshot}); see `pack repo status`\n", args.channel)
    });
    Ok(())
}

fn remove(args: &Remove, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.repo)?;
    let notes = notes(output);
    let snapshot = published(channels::remove(&opened.repo(&notes), &args.channel))?;
    let changed = Changed { published: true, channel: args.channel.clone(), snapshot };
    output.result(&changed, || format!("channel {} is gone (snapshot {snapshot})\n", args.channel));
    Ok(())
}

/// `anna=5f0c…`, or only the key.
fn named(text: &str) -> Result<(Key, Option<String>), Failure> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    match text.split_once('=').filter(|(name, key)| is_name(name) && !key.is_empty()) {
        Some((name, key)) => Ok((public(key)?, Some(name.to_owned()))),
        None => Ok((public(text)?, None)),
    }
}

/// The keys of the channel that are here; those of all channels only where it has none of its own.
fn own(opened: &Opened, channel: &Channel) -> Result<Vec<(Key, Option<String>)>, Failure> {
    let role = role_of(channel);
    let holders = opened.keyring().holders(&[&role])?;
    let is_own = |file: &std::path::Path| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(&role).is_some_and(|rest| rest.starts_with('.'))
    };
    let mut keys: Vec<_> = holders.iter().filter(|one| is_own(one.file())).collect();
    if keys.is_empty() {
        keys = holders.iter().collect();
    }
    if keys.is_empty() {
        let message = format!("there is no key for {role} in the folder of keys");
        return Err(Failure::new(Exit::Usage, message)
            .hint(format!("say --key, or make one: `pack keys new --role {role}`")));
    }
    Ok(keys.into_iter().map(|one| (one.public().clone(), None)).collect())
}
