//! `pack keys`: making signing keys.

use std::path::PathBuf;

use cutover_formats::exit::Exit;
use cutover_pack::publish::keyring::{KeyRole, Keyring, Protection};
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

/// Makes the keys.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let Command::New(new) = &args.command;
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
