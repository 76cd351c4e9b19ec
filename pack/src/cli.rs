//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use cutover_terminal::OutputArgs;

use crate::commands::{channels, init, keys, list, promote, refresh, release, repo, withdraw};

/// Turns a tagged source tree and its vendored dependencies into a signed release.
#[derive(Debug, Parser)]
#[command(name = "pack", version, max_term_width = 100)]
pub(crate) struct Pack {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How it is told.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a release.toml for what is found in a source tree.
    Init(init::Args),
    /// Make signing keys, sign with them, change whose signatures count.
    Keys(keys::Args),
    /// Make a repository, show its state, publish what waited for signatures.
    Repo(repo::Args),
    /// Add a channel with promoters of its own, or remove one.
    Channels(channels::Args),
    /// Release a tag: check, vendor, pack, sign, publish.
    Release(release::Args),
    /// Point a channel at a release.
    Promote(promote::Args),
    /// Take a release back: nodes refuse it, whoever runs it is told.
    Withdraw(withdraw::Args),
    /// Show releases and channels.
    List(list::Args),
    /// Sign the snapshot and timestamp anew, so that they do not expire.
    Refresh(refresh::Args),
    /// Write man pages and shell completions
    #[command(hide = true)]
    Documents {
        /// Into this folder
        folder: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Pack::command().debug_assert();
    }
}
