//! `pack keys export`: the public keys of a role, for people who check with stock tools.
//!
//! What the repository's signed metadata says now, not what lies in the folder of keys.

use std::path::PathBuf;

use clap::ValueEnum;
use cutover_formats::exit::Exit;
use cutover_formats::minisign;
use cutover_formats::tuf::key::Key;
use cutover_formats::tuf::names;
use cutover_repository::client::Client;
use cutover_repository::open_read;
use cutover_terminal::{Failure, Output};
use jiff::Timestamp;
use serde::Serialize;

use crate::repository::{location, trusted_folder};

/// What `pack keys export` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// releases, channel-NAME or branches.
    #[arg(value_name = "ROLE", default_value = "releases")]
    role: String,
    /// For whom: `minisign -p FILE`, or `openssl pkeyutl -inkey FILE`.
    #[arg(long = "as", value_name = "FORM", default_value = "minisign")]
    form: Form,
    /// The repository: a path, file:///path, or http(s)://.
    #[arg(long, env = "CUTOVER_REPO", hide_env_values = true, value_name = "URL")]
    repo: String,
    /// The root to trust; without it, the one in the folder of keys.
    #[arg(long, value_name = "ROOT.json", required_unless_present = "keys")]
    trust: Option<PathBuf>,
    /// The folder of keys, of which only root.json is read.
    #[arg(long, env = "CUTOVER_KEYS", value_name = "DIR")]
    keys: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A minisign public key file.
    Minisign,
    /// PEM, as openssl reads it.
    Pem,
}

#[derive(Serialize)]
struct Exported {
    role: String,
    keys: Vec<ExportedKey>,
}

#[derive(Serialize)]
struct ExportedKey {
    id: String,
    name: Option<String>,
    minisign: String,
    pem: String,
    #[serde(skip)]
    file: String,
}

/// Prints them. Where there are several, each of them may have signed.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let store = open_read(&location(&args.repo)?)?;
    let trust = trusted_folder(args.trust.as_deref(), args.keys.as_deref(), store.as_ref())?;
    let trust = trust.expect("one of the two is required");
    let mut client = Client::open(store.as_ref(), trust.path().to_owned(), Timestamp::now())?;
    let delegation = client.delegation(&args.role)?.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("nobody delegates to a role `{}`", args.role))
            .hint("releases, branches, or channel-NAME; `pack repo status` shows them")
    })?;
    let unknown = delegation.delegator.delegations.as_ref().map(|all| &all.unknown);
    let keys = delegation.keys();
    let keys = keys.iter().filter_map(|(id, key)| {
        let name = unknown.and_then(|unknown| names::of_key(unknown, id));
        exported(id, name, key)
    });
    let exported = Exported { role: args.role.clone(), keys: keys.collect() };
    if exported.keys.len() > 1 {
        output.warn(format!(
            "{} keys sign for {}: a signature is by one of them, whose id it names",
            exported.keys.len(),
            exported.role
        ));
    }
    output.result(&exported, || {
        let key = |key: &ExportedKey| match args.form {
            Form::Minisign => key.file.clone(),
            Form::Pem => key.pem.clone(),
        };
        exported.keys.iter().map(key).collect()
    });
    Ok(())
}

/// `None` for keys that are not ed25519.
fn exported(id: &str, name: Option<&str>, key: &Key) -> Option<ExportedKey> {
    Some(ExportedKey {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        minisign: minisign::public_key_line(key)?,
        pem: key.ed25519_pem()?,
        file: minisign::public_key(key)?,
    })
}
