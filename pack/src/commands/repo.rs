//! `pack repo`: making a repository, its state of health, and changes that were signed elsewhere.

mod apply;
mod status;

use cutover_formats::layout;
use cutover_formats::secret::Secret;
use cutover_publish as publish;
use cutover_repository::open_new;
use cutover_terminal::{Failure, Output};
use jiff::Timestamp;
use serde::Serialize;

use crate::repository::RepoArgs;
use crate::repository::{keyring, location};

/// What `pack repo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an empty repository, signed by all keys; its root is what nodes are to trust.
    Init(RepoArgs),
    /// Show every role: its keys, how many must sign, when it expires.
    Status(status::Args),
    /// Publish a change that waited for signatures, from one or more signed copies of it.
    Apply(apply::Args),
}

#[derive(Serialize)]
struct Made {
    repository: String,
    root: String,
    sha256: String,
    trusted: String,
}

/// Dispatches.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::Init(repo) => init(repo, output),
        Command::Status(args) => status::run(args, output),
        Command::Apply(args) => apply::run(args, output),
    }
}

/// Makes the repository.
fn init(repo: &RepoArgs, output: &Output) -> Result<(), Failure> {
    let keyring = keyring(repo.keys.clone())?;
    let location = location(&repo.repo)?;
    let store = open_new(&location, repo.token().map(Secret::new))?;
    let made = publish::init(store.as_ref(), &keyring, Timestamp::now())?;
    let made = Made {
        repository: location.to_string(),
        root: format!("{}/{}", location.to_string().trim_end_matches('/'), layout::FIRST_ROOT),
        sha256: made.root.to_string(),
        trusted: keyring.root_file().display().to_string(),
    };
    output.note(format!("the same root is trusted from now on: {}", made.trusted));
    output.result(&made, || format!("{}  {}\n", made.sha256, made.root));
    Ok(())
}
