//! `pack keys add`, `rotate`, `revoke`, `threshold`, `renew`: whose signatures count.

use std::fs;

use cutover_formats::exit::Exit;
use cutover_formats::tuf::key::Key;
use cutover_publish::keychange::{KeyChange, change_keys, check_change};
use cutover_publish::keyring::{Protection, draw};
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::passphrase;
use crate::repository::RepoArgs;
use crate::repository::{Opened, notes, published};

/// Whose keys, in which repository.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// root, targets, snapshot, timestamp, releases, branches, channel-NAME, or channels for all of
    /// them.
    #[arg(value_name = "ROLE")]
    role: String,
    #[command(flatten)]
    repo: RepoArgs,
}

/// What `pack keys add` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    of: Of,
    /// The public key, or a file of it: 64 hexadecimal digits, `ssh-ed25519 …` or PEM.
    #[arg(value_name = "PUBLICKEY|FILE")]
    key: String,
    /// Whose key it is, for `pack repo status`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// What `pack keys rotate` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    of: Of,
    /// The begin of the id of the key that goes; needed where the role has several.
    #[arg(long, value_name = "KEYID")]
    old: Option<String>,
    /// A public key made elsewhere (or a file of it) instead of a new one in the folder of keys.
    #[arg(long, value_name = "PUBLICKEY|FILE")]
    to: Option<String>,
    /// Whose key it is, for `pack repo status`.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write the new key in the clear, for a folder that is protected by other means.
    #[arg(long)]
    unencrypted: bool,
}

/// What `pack keys revoke` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    of: Of,
    /// The begin of the id of the key.
    #[arg(value_name = "KEYID")]
    id: String,
}

/// What `pack keys threshold` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Threshold {
    #[command(flatten)]
    of: Of,
    /// How many keys must sign.
    #[arg(value_name = "N")]
    number: u64,
}

/// What `pack keys renew` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    of: Of,
}

#[derive(Serialize)]
struct Changed {
    published: bool,
    role: String,
    snapshot: u64,
}

/// Adds a key.
pub(crate) fn add(args: &Add, output: &Output) -> Result<(), Failure> {
    let change = KeyChange::Add { key: public(&args.key)?, name: args.name.clone() };
    run(&Opened::new(&args.of.repo)?, &args.of.role, &change, output)
}

/// Replaces a key.
pub(crate) fn rotate(args: &Rotate, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.of.repo)?;
    let rotate = |new| KeyChange::Rotate { old: args.old.clone(), new, name: args.name.clone() };
    let change = match &args.to {
        Some(text) => rotate(public(text)?),
        None => generate(args, &opened, rotate, output)?,
    };
    run(&opened, &args.of.role, &change, output)?;
    output.note(
        "the old key file signs for this role no more once this is published; destroy it then",
    );
    Ok(())
}

/// Takes a key away.
pub(crate) fn revoke(args: &Revoke, output: &Output) -> Result<(), Failure> {
    let change = KeyChange::Revoke { id: args.id.clone() };
    run(&Opened::new(&args.of.repo)?, &args.of.role, &change, output)
}

/// Changes how many must sign.
pub(crate) fn threshold(args: &Threshold, output: &Output) -> Result<(), Failure> {
    let change = KeyChange::Threshold(args.number);
    run(&Opened::new(&args.of.repo)?, &args.of.role, &change, output)
}

/// Changes nothing but expiry dates.
pub(crate) fn renew(args: &Renew, output: &Output) -> Result<(), Failure> {
    run(&Opened::new(&args.of.repo)?, &args.of.role, &KeyChange::Renew, output)
}

fn run(opened: &Opened, role: &str, change: &KeyChange, output: &Output) -> Result<(), Failure> {
    let notes = notes(output);
    let done = change_keys(&opened.repo(&notes), role, change);
    let snapshot = published(done)?;
    let changed = Changed { published: true, role: role.to_owned(), snapshot };
    output.result(&changed, || {
        format!("the keys of {role} are changed (snapshot {snapshot}); see `pack repo status`\n")
    });
    Ok(())
}

/// The change to a new key, which is in the folder of keys then. A change that cannot be leaves none
/// there; one that others must sign, too, or that is interrupted, does.
fn generate(
    args: &Rotate,
    opened: &Opened,
    rotate: impl FnOnce(Key) -> KeyChange,
    output: &Output,
) -> Result<KeyChange, Failure> {
    let (role, signer) = (args.of.role.as_str(), draw()?);
    let change = rotate(signer.public().clone());
    check_change(&opened.repo(&notes(output)), role, &change)?;
    let passphrase = match args.unencrypted {
        true => None,
        false => Some(passphrase::choose()?),
    };
    let protection = passphrase.as_ref().map_or(Protection::None, Protection::Passphrase);
    let file = opened.keyring().keep(role, &signer, &protection)?;
    output.note(format!("new key {}: {}", signer.id(), file.display()));
    Ok(change)
}

/// A public key as it was typed, or as it stands in the file that was named.
pub(crate) fn public(text: &str) -> Result<Key, Failure> {
    let found = Key::from_text(text).or_else(|| {
        let file = fs::read_to_string(text).ok()?;
        Key::from_text(&file)
    });
    found.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{text}` is no ed25519 public key, and no file of one"))
            .hint("64 hexadecimal digits (`pack keys show`), `ssh-ed25519 …`, or PEM")
    })
}
