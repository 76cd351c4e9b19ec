//! The power fails at a moment of an install: XFS on a loop device is shut down, once with its log
//! flushed and once without, mounted again, and the install is ended. The node is on the old release
//! or the new, whole, with all of its history, and no file is there without its contents.
//!
//! `CUTOVER_STRIDE` as for `killed`; the journal's steps of an installer alone are all tried always, in one
//! of the two ways.

mod gate;
mod installer;

use std::path::Path;

use cutover_tests::image::Cut;
use cutover_tests::world::{NodeDir, Run};

/// What `mkfs.xfs` asks for.
const MEGABYTES: u64 = 300;

const CUTS: [Cut; 2] = [Cut::NothingFlushed, Cut::LogFlushed];

/// No file that is to have contents has none.
#[track_caller]
fn with_contents(node: &NodeDir<'_>, at: &str) {
    let empty = empty_files(&node.root);
    assert!(empty.is_empty(), "{at}: without contents: {empty:?}");
}

fn empty_files(root: &Path) -> Vec<String> {
    let mut find = std::process::Command::new("find");
    find.arg(root).args(["-type", "f", "-size", "0", "-printf", "%P\\n"]);
    let found = Run::of(&mut find).ok().stdout;
    // The journal's first line may not have been synced, and while there is one the first line of the
    // history may be still to come; what is in `run/` goes with the processes, nothing relies on the
    // lock's text, an update client's copies are verified whenever they are used, and a prefix without
    // a seal is no release.
    let unfinished = root.join("state/journal").exists();
    let may = |name: &str| {
        let whole =
            |version: &str| root.join("state/releases").join(version).join("seal.json").exists();
        name == "state/journal"
            || (name == "state/history.jsonl" && unfinished)
            || name.starts_with("run/")
            || name == "state/lock"
            || name.starts_with("state/trust/")
            || name.contains("/.")
            || name
                .strip_prefix("releases/")
                .is_some_and(|rest| rest.split('/').next().is_some_and(|version| !whole(version)))
    };
    found.lines().filter(|name| !may(name)).map(str::to_owned).collect()
}
