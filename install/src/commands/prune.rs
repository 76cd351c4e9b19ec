//! `install prune`

use cutover_formats::version::Version;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use super::RootArgs;
use super::lock;
use crate::prune::{Tidied, goes, prune};
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
    let standings = Standings::load(&node.root).map_err(|error| {
        let is_damage = error.is_damage();
        let failed = Failure::from(error);
        if !is_damage {
            return failed;
        }
        failed.hint(
            "nothing was removed, since what ran well here is not known; the next install or \
             `install rollback --to VERSION` begins that file anew",
        )
    })?;
    let Tidied { removed, problems } = if args.dry_run {
        Tidied { removed: goes(&node, &standings)?, problems: Vec::new() }
    } else {
        prune(&node, &standings)
    };
    let pruned = Pruned { removed, dry_run: args.dry_run };
    let mut problems = problems.into_iter();
    let Some(first) = problems.next() else {
        output.result(&pruned, || describe(&pruned));
        return Ok(());
    };
    problems.for_each(|problem| output.warn(problem.to_string()));
    Err(Failure::from(first)
        .hint(describe(&pruned))
        .hint("what is left is tried again by every install and `install prune`"))
}

fn describe(pruned: &Pruned) -> String {
    let versions: Vec<String> = pruned.removed.iter().map(Version::to_string).collect();
    match (&versions[..], pruned.dry_run) {
        ([], _) => "nothing to remove".to_owned(),
        (_, true) => format!("would remove {}", versions.join(", ")),
        (_, false) => format!("removed {}", versions.join(", ")),
    }
}
