//! `install prune`

use cutover_formats::version::Version;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use super::lock;
use crate::cli::RootArgs;
use crate::prune::{prune, superfluous, used};
use crate::standing::Standings;

/// What to remove.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Pruned {
    removed: Vec<Version>,
    dry_run: bool,
}

/// Removes releases beyond those that `node.toml` keeps, and the litter of crashes.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let _lock = lock(&node, "install prune", output)?;
    let standings = Standings::load(&node.root)?;
    let removed = if args.dry_run {
        let used = used(&node, &standings)?;
        superfluous(&node.sealed()?, &used, &standings, node.settings.keep)
    } else {
        prune(&node, &standings)?
    };
    let pruned = Pruned { removed, dry_run: args.dry_run };
    output.result(&pruned, || describe(&pruned));
    Ok(())
}

fn describe(pruned: &Pruned) -> String {
    let versions: Vec<String> = pruned.removed.iter().map(Version::to_string).collect();
    match (&versions[..], pruned.dry_run) {
        ([], _) => "nothing to remove".to_owned(),
        (_, true) => format!("would remove {}", versions.join(", ")),
        (_, false) => format!("removed {}", versions.join(", ")),
    }
}
