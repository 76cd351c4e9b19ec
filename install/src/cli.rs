//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use cutover_terminal::OutputArgs;

use crate::commands::{self, RootArgs};

/// Installs signed releases on this node and switches over to them.
///
/// `install 1.1.0`, `install '^1.0'` or `install stable` verifies the release, unpacks it into
/// its own prefix, and changes over: blue-green, or while the gate holds or politely refuses
/// traffic. An error before the switch leaves the node as it was; one after it switches back.
#[derive(Debug, Parser)]
#[command(name = "install", version, max_term_width = 100, subcommand_negates_reqs = true)]
#[command(
    after_help = "Exit status: 0 done, 1 unexpected, 2 usage, 3 not trusted, 4 not found, 5 a check failed \
    and the node is on the release it was on before, 6 busy, 7 no space, 8 unreachable."
)]
pub struct Install {
    /// What to do, if not to install.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to install.
    #[command(flatten)]
    pub install: commands::install::Args,
    /// Where.
    #[command(flatten)]
    pub root: RootArgs,
    /// How it is told.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The commands beside installing.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a node's root and its node.toml
    Init(commands::init::Args),
    /// Download a release, verified, and nothing more: from the node's repository, or any by --repo
    Fetch(commands::fetch::Args),
    /// Print what would be fetched, written, run and switched; change nothing
    Plan(commands::install::Args),
    /// Try an install aside: fetch, build, start on a spare address, check, take away again; says how
    /// long the site would be dark and how much disk it takes
    ///
    /// Nothing that runs is touched. Exit status 5 where the release does not become healthy or a
    /// check fails; stages that would change what others use are left out, and named.
    Rehearse(commands::rehearse::Args),
    /// Show what runs here and how the gate is
    Status,
    /// Show the releases on this node
    List,
    /// Show what installs did: when, how long it took, what clients felt
    Log(commands::log::Args),
    /// Show what the service said: its output, as the gate keeps it
    ///
    /// The last 100 lines, or as many as --lines says, of all releases on this node together: that of the
    /// release that runs comes last, and the others by when they spoke last. Lines are found from the end, and
    /// across files that have taken each other's place. Before lines of another release, its version is
    /// told on stderr; stdout has what services said and nothing else, so that `install logs -n all | grep …`
    /// searches everything. With --json each line is an object of its own: {"version": …, "line": …}.
    ///
    /// --follow goes on until Ctrl-C, which is exit status 0. Where the output goes elsewhere, to the journal
    /// for one, it says where and how to see it there (exit status 4). What installs did shows `install log`.
    Logs(commands::logs::Args),
    /// Say which release, package, commit and signer an installed file came from
    Explain(commands::explain::Args),
    /// Hold installed files against what was signed
    Verify(commands::verify::Args),
    /// Look at what a release asks this node for, and at what would be rendered for it
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Bring changed values of node.toml, and changed secrets, to the release that runs
    ///
    /// What the release's templates come to now is written beside what holds; then the service starts
    /// anew with it, in the way of an install: health checked, and back to the configuration before by
    /// itself where that fails (exit status 5). Where nothing has changed, nothing is done.
    Apply(commands::apply::Args),
    /// Go back to the release that ran before
    Rollback(commands::rollback::Args),
    /// Remove releases that are no longer needed
    Prune(commands::prune::Args),
    /// End an install that a crash cut off
    Resume(commands::resume::Args),
    /// Run the gate and the service, in the foreground
    Gate(commands::gate::Args),
    /// Hold the site in maintenance: clients get 503 with Retry-After
    Maintenance(commands::maintenance::Args),
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
        Install::command().debug_assert();
    }

    #[test]
    fn versions_and_commands_are_told_apart() {
        let parse = |words: &[&str]| {
            Install::try_parse_from([&["install"], words].concat()).expect("a command line")
        };
        let install = parse(&["1.1.0", "--root", "/x"]);
        assert!(install.command.is_none());
        assert_eq!(install.install.wanted.expect("a version").to_string(), "1.1.0");
        assert!(matches!(parse(&["--root", "/x", "status"]).command, Some(Command::Status)));
        assert!(matches!(parse(&["status", "--root", "/x"]).command, Some(Command::Status)));
        let plan = parse(&["plan", "stable"]).command;
        assert!(matches!(plan, Some(Command::Plan(args)) if args.wanted.is_some()));
    }
}
