//! `install list`

use cutover_formats::version::Version;
use cutover_terminal::{Failure, Output, Table, bytes};
use jiff::Timestamp;
use serde::Serialize;

use super::RootArgs;
use crate::disk;
use crate::standing::{Standing, Standings};
use crate::transaction::Seal;

#[derive(Serialize)]
struct Listing {
    releases: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    version: Version,
    current: bool,
    installed: Option<Timestamp>,
    commit: Option<String>,
    files: u64,
    bytes: u64,
    standing: Option<Standing>,
}

/// Shows the releases on this node.
pub fn run(root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let current = node.current()?;
    let standings = Standings::load_or_forget(&node.root, |words| output.warn(words))?;
    let mut releases = Vec::new();
    for version in node.sealed()? {
        let descriptor = node.descriptor(&version)?;
        let seal: Option<Seal> = disk::read_json(&node.root.seal(&version))?;
        releases.push(Row {
            current: current.as_ref() == Some(&version),
            installed: seal.map(|seal| seal.sealed),
            commit: descriptor.source.commit,
            files: descriptor.files.entries,
            bytes: descriptor.files.bytes,
            standing: standings.releases.get(&version).cloned(),
            version,
        });
    }
    let listing = Listing { releases };
    output.result(&listing, || table(&listing));
    Ok(())
}

fn table(listing: &Listing) -> String {
    if listing.releases.is_empty() {
        return "no release is on this node".to_owned();
    }
    let mut table = Table::new(["version", "installed", "entries", "size", "commit", "standing"]);
    for row in &listing.releases {
        let standing = match (&row.standing, row.current) {
            (_, true) => "current",
            (Some(Standing::Good { .. }), false) => "good",
            (Some(Standing::Bad { .. }), false) => "bad",
            (None, false) => "never ran",
        };
        table.row([
            row.version.to_string(),
            row.installed.map_or_else(String::new, |at| format!("{at:.0}")),
            row.files.to_string(),
            bytes(row.bytes),
            row.commit.as_ref().map_or("", |commit| commit.get(..12).unwrap_or(commit)).to_owned(),
            standing.to_owned(),
        ]);
    }
    table.to_string()
}
