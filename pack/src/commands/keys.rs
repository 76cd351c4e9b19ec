//! `pack keys`: making signing keys, signing with them, and changing whose signatures count.

pub(crate) mod change;
mod export;
mod show;
mod sign;

use std::path::PathBuf;

use cutover_formats::exit::Exit;
use cutover_formats::keys::Signer;
use cutover_formats::name::Channel;
use cutover_publish::keyring::{KeyRole, Keyring, Protection};
use cutover_terminal::{Failure, Output, Table};
use serde::Serialize;

use crate::passphrase;

/// What `pack keys` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key for every role, or one for a role: one file each, encrypted, readable by you only.
    New(New),
    /// Show the keys in a folder: their ids and public keys.
    Show(show::Args),
    /// Print the public keys that sign releases, for minisign or openssl.
    Export(export::Args),
    /// Add the signatures of the keys in a folder to a change that waits for them.
    Sign(sign::Args),
    /// Let one more key sign for a role.
    Add(change::Add),
    /// Replace a key of a role by a new one.
    Rotate(change::Rotate),
    /// Let a key sign for a role no more.
    Revoke(change::Revoke),
    /// Say how many keys of a role must sign.
    Threshold(change::Threshold),
    /// Sign a role and what appoints it anew, so that they do not expire.
    Renew(change::Renew),
}

#[derive(Debug, clap::Args)]
struct New {
    /// The folder that the keys go to; made if it is missing.
    #[arg(long, env = "CUTOVER_KEYS", value_name = "DIR")]
    keys: PathBuf,
    /// Only one key, for this role: root, targets, releases, branches, channels, channel-NAME, …
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Write the keys in the clear, for a folder that is protected by other means.
    #[arg(long)]
    unencrypted: bool,
}

#[derive(Serialize)]
struct Made {
    keys: Vec<MadeKey>,
}

#[derive(Serialize)]
struct MadeKey {
    role: String,
    id: String,
    public: Option<String>,
    file: PathBuf,
}

/// Dispatches.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::New(args) => new(args, output),
        Command::Show(args) => show::run(args, output),
        Command::Export(args) => export::run(args, output),
        Command::Sign(args) => sign::run(args, output),
        Command::Add(args) => change::add(args, output),
        Command::Rotate(args) => change::rotate(args, output),
        Command::Revoke(args) => change::revoke(args, output),
        Command::Threshold(args) => change::threshold(args, output),
        Command::Renew(args) => change::renew(args, output),
    }
}

/// Makes the keys.
fn new(new: &New, output: &Output) -> Result<(), Failure> {
    let keyring = Keyring::new(new.keys.clone(), passphrase::asker());
    let passphrase = match new.unencrypted {
        true => None,
        false => Some(passphrase::choose()?),
    };
    let protection = passphrase.as_ref().map_or(Protection::None, Protection::Passphrase);
    let keys = match &new.role {
        Some(role) => {
            let (signer, file) = keyring.create_one(known(role)?, &protection)?;
            vec![MadeKey::new(role, &signer, file)]
        }
        None => {
            let signers = keyring.create(&protection)?;
            let made = KeyRole::ALL.iter().zip(&signers);
            made.map(|(role, one)| MadeKey::new(role.as_str(), one, keyring.file(*role))).collect()
        }
    };
    let made = Made { keys };
    output.result(&made, || {
        let mut table = Table::new(["role", "key id", "public key", "file"]);
        for key in &made.keys {
            let public = key.public.clone().unwrap_or_default();
            let file = key.file.display().to_string();
            table.row([key.role.clone(), key.id.clone(), public, file]);
        }
        table.to_string()
    });
    Ok(())
}

impl MadeKey {
    fn new(role: &str, signer: &Signer, file: PathBuf) -> Self {
        let (id, public) = (signer.id().to_owned(), signer.public().public_hex());
        Self { role: role.to_owned(), id, public, file }
    }
}

/// A role that keys can be for: what else is in the name of a file nobody would look for.
fn known(role: &str) -> Result<&str, Failure> {
    let is_channel = |name: &str| name.parse::<Channel>().is_ok() && !name.contains('.');
    let known = KeyRole::ALL.iter().any(|known| known.as_str() == role)
        || role.strip_prefix("channel-").is_some_and(is_channel);
    let failure = || {
        let names: Vec<_> = KeyRole::ALL.map(KeyRole::as_str).into();
        Failure::new(Exit::Usage, format!("`{role}` is no role that keys can be for"))
            .hint(format!("they are {}, and channel-NAME", names.join(", ")))
    };
    if known { Ok(role) } else { Err(failure()) }
}
