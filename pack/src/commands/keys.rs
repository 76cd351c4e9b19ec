//! `pack keys`: making signing keys, signing with them, and changing whose signatures count.

mod change;
mod export;
mod show;
mod sign;

use std::path::PathBuf;

use cutover_formats::exit::Exit;
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
    /// Make a key for every role: one file each, encrypted, readable by you only.
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
    let signers = if new.unencrypted {
        keyring.create(&Protection::None)?
    } else {
        let passphrase = passphrase::choose().map_err(|why| Failure::new(Exit::Usage, why))?;
        keyring.create(&Protection::Passphrase(&passphrase))?
    };
    let keys = KeyRole::ALL.iter().zip(&signers).map(|(role, signer)| MadeKey {
        role: role.to_string(),
        id: signer.id().to_owned(),
        file: keyring.file(*role),
    });
    let made = Made { keys: keys.collect() };
    output.result(&made, || {
        let mut table = Table::new(["role", "key id", "file"]);
        for key in &made.keys {
            table.row([key.role.clone(), key.id.clone(), key.file.display().to_string()]);
        }
        table.to_string()
    });
    Ok(())
}
