//! `pack`: for release managers. A tagged source tree becomes a signed release in a repository.

mod checks;
mod cli;
mod commands;
mod leftovers;
mod passphrase;
mod repository;
mod source;
mod vendor;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cutover_repository::{child, private};

use crate::cli::{Command, Pack};
use crate::commands::{channels, init, keys, list, promote, refresh, release, repo, withdraw};

fn main() -> ExitCode {
    private::forbid_dumps();
    let pack = Pack::parse();
    cutover_terminal::run(&pack.output.output(), |output| match pack.command {
        Command::Init(args) => init::run(&args, output),
        Command::Keys(args) => keys::run(&args, output),
        Command::Repo(args) => repo::run(&args, output),
        Command::Channels(args) => channels::run(&args, output),
        Command::Release(args) => release::run(&args, output),
        Command::Promote(args) => promote::run(&args, output),
        Command::Withdraw(args) => withdraw::run(&args, output),
        Command::List(args) => list::run(&args, output),
        Command::Refresh(args) => refresh::run(&args, output),
        Command::Documents { folder } => {
            cutover_terminal::documents(Pack::command(), "cutover-pack", &folder)
        }
    })
}
