//! `install config diff`

use std::collections::BTreeMap;

use cutover_formats::descriptor::Descriptor;
use cutover_formats::path::RelPath;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use super::{Args, Found};
use crate::configure::compare::{Difference, Side, compare};
use crate::configure::inputs::{Inputs, settle};
use crate::configure::rendering::Record;
use crate::node::Node;

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    difference: Difference,
    /// What would keep the release from being installed.
    problems: Vec<String>,
}

/// What is rendered for the current release, as it stands, against what would be rendered now.
pub(super) fn run(args: &Args, node: &Node, output: &Output) -> Result<(), Failure> {
    let found = Found::look(args, node, output)?;
    let before = standing(node)?;
    let (after, problems) = rendered(node, &found, output)?;
    let shown = Shown { difference: compare(&before, &after), problems };
    shown.problems.iter().for_each(|problem| output.warn(problem));
    if is_current(node, &found.release)? {
        match shown.difference.is_empty() {
            false => output.note("`install apply` brings this to the release that runs"),
            true if found.release.inputs.values().any(|input| input.secret) => output.note(
                "secrets are not compared here; `install apply --dry-run` tells whether they are \
                 others now",
            ),
            true => {}
        }
    }
    output.result(&shown, || shown.difference.to_string());
    Ok(())
}

fn is_current(node: &Node, release: &Descriptor) -> Result<bool, Failure> {
    Ok(node.current()?.as_ref() == Some(&release.version))
}

/// What runs, as it was rendered.
fn standing(node: &Node) -> Result<Side, Failure> {
    let Some(current) = node.current()? else {
        return Ok(Side { label: "nothing".to_owned(), ..Side::default() });
    };
    let record = Record::load(&node.root, &current)?;
    let files = record.files.into_iter().map(|(path, file)| (path, file.masked)).collect();
    Ok(Side::of(current.to_string(), &node.descriptor(&current)?, files))
}

/// What the release would come to; a stand-in takes the place of each secret and of what is missing.
fn rendered(node: &Node, found: &Found, output: &Output) -> Result<(Side, Vec<String>), Failure> {
    let release = &found.release;
    let elsewhere = node.inputs_elsewhere(release)?;
    let settlement = settle(&release.inputs, &node.settings.inputs, &elsewhere);
    let mut problems: Vec<String> = settlement.problems.iter().map(ToString::to_string).collect();
    let inputs = Inputs::masked(&node.root, release, &settlement);
    let mut files: BTreeMap<RelPath, String> = BTreeMap::new();
    for source in found.sources(node, output)? {
        match source.template.render(inputs.stand_ins()) {
            Ok(text) => drop(files.insert(source.path, text)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    let label = if is_current(node, release)? {
        format!("{} now", release.version)
    } else {
        release.version.to_string()
    };
    Ok((Side::of(label, release, files), problems))
}
