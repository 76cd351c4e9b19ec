//! `pack keys show`: ids and public keys of what is in a folder of keys.

use std::path::PathBuf;

use cutover_terminal::{Failure, Output, Table};
use serde::Serialize;

use crate::repository::keyring;

/// What `pack keys show` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of keys.
    #[arg(long, env = "CUTOVER_KEYS", value_name = "DIR")]
    keys: PathBuf,
}

#[derive(Serialize)]
struct Shown {
    keys: Vec<ShownKey>,
}

#[derive(Serialize)]
struct ShownKey {
    id: String,
    public: Option<String>,
    file: PathBuf,
}

/// Shows them.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let keyring = keyring(args.keys.clone())?;
    let roles = keyring.roles()?;
    let holders = keyring.holders(&roles.iter().map(String::as_str).collect::<Vec<_>>())?;
    let keys = holders.iter().map(|holder| ShownKey {
        id: holder.id().to_owned(),
        public: holder.public().public_hex(),
        file: holder.file().to_owned(),
    });
    let shown = Shown { keys: keys.collect() };
    output.result(&shown, || {
        let mut table = Table::new(["file", "key id", "public key"]);
        for key in &shown.keys {
            let public = key.public.clone().unwrap_or_default();
            table.row([key.file.display().to_string(), key.id.clone(), public]);
        }
        table.to_string()
    });
    Ok(())
}
