//! `install explain FILE`

use std::path::PathBuf;

use cutover_formats::descriptor::Vendored;
use cutover_terminal::{Exit, Failure, Output};
use serde::Serialize;

use super::RootArgs;
use crate::disk::DiskError;
use crate::explain::{Explanation, Origin, Place, explain, places};
use crate::node::{Node, NodeError};

/// What to explain.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status 0 whether or not the file still is what it should be: that is \
    `problems` with --json, and what `install verify` is for. 4 where the file is in no release."
)]
pub struct Args {
    /// An installed file, from where you are or from the current release's prefix; where you are in no
    /// node's root, the one that the file lies in is taken
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Serialize)]
struct Explained {
    product: String,
    #[serde(flatten)]
    explanation: Explanation,
}

/// Says where a file came from.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = node(args, root)?;
    let explanation = find(&node, args)?;
    for problem in explanation.look.problems() {
        output.warn(format!("{} {problem}", explanation.place.path));
    }
    let explained = Explained { product: node.settings.product.to_string(), explanation };
    output.result(&explained, || text(&explained));
    Ok(())
}

/// The node: as everywhere, or else the one that the file lies in.
fn node(args: &Args, root: &RootArgs) -> Result<Node, Failure> {
    let here = root.node();
    if root.root.is_some() || here.is_ok() {
        return here;
    }
    let Ok(file) = std::path::absolute(&args.file) else { return here };
    let mut around = file.ancestors().skip(1).map(Node::open);
    match around.find(|node| !matches!(node, Err(NodeError::NotARoot(_)))) {
        Some(node) => Ok(node?),
        None => here,
    }
}

fn find(node: &Node, args: &Args) -> Result<Explanation, Failure> {
    let folder = std::env::current_dir();
    let folder = folder.map_err(|error| DiskError::new("find", &PathBuf::from("."), error))?;
    let places = places(node, &folder, &args.file)?;
    for place in &places {
        if let Some(explanation) = explain(node, place)? {
            return Ok(explanation);
        }
    }
    let stands = |place: &&Place| {
        let path = node.root.prefix(&place.version).join(place.path.as_path());
        path.symlink_metadata().is_ok()
    };
    if let Some(Place { path, version, .. }) = places.iter().find(stands) {
        let message =
            format!("{path} stands in the prefix of {version}, but no release put it there");
        return Err(Failure::new(Exit::NotFound, message)
            .hint("`install verify` names everything of that kind"));
    }
    let message = format!("{} is in no release of this node", args.file.display());
    Err(Failure::new(Exit::NotFound, message).hint(format!(
        "releases stand below {}; `install list` shows which",
        node.root.releases().display()
    )))
}

fn text(Explained { product, explanation }: &Explained) -> String {
    let Explanation { place, descriptor, signed_by, origin, source, look } = explanation;
    let current = if place.current { ", the current one" } else { "" };
    let mut rows = vec![
        ("path", place.path.to_string()),
        ("release", format!("{product} {}{current}", place.version)),
        ("origin", words(origin)),
    ];
    let commit = source.commit.as_ref().map(|commit| ("commit", commit.clone()));
    rows.extend(commit);
    rows.extend(source.tag.as_ref().map(|tag| ("tag", tag.clone())));
    rows.push((
        "signed by",
        match signed_by {
            Some(signed_by) => signed_by.to_string(),
            None => "not on record: an older program installed this release".to_owned(),
        },
    ));
    rows.push(("descriptor", format!("sha256 {descriptor}")));
    let unsigned = matches!(origin, Origin::Built { .. } | Origin::Config { .. });
    rows.push((if unsigned { "made as" } else { "signed as" }, look.to_string()));
    let problems: Vec<_> = look.problems().iter().map(ToString::to_string).collect();
    rows.push((
        "now",
        match &problems[..] {
            [] => "it still is".to_owned(),
            problems => format!("it {}", problems.join("; it ")),
        },
    ));
    rows.iter().map(|(name, value)| format!("{name:<11} {value}\n")).collect()
}

fn words(origin: &Origin) -> String {
    match origin {
        Origin::Source => "the release's own source tree".to_owned(),
        Origin::Vendored(vendored) => format!("vendored: {}", package(vendored)),
        Origin::Built { builder, distribution } => {
            let builder = builder.as_deref().unwrap_or("the installer");
            let from = distribution.as_ref().map(|it| format!(", from {}", package(it)));
            format!("built on this node by {builder}{}", from.unwrap_or_default())
        }
        Origin::Config { file, template: Some(template) } => {
            format!("rendered on this node from {template}, as {}", file.display())
        }
        Origin::Config { file, template: None } => {
            format!("the node's own file {}", file.display())
        }
    }
}

fn package(vendored: &Vendored) -> String {
    let version = vendored.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
    let Vendored { kind, name, file, sha256, .. } = vendored;
    format!("{kind} {name}{version} ({file}, sha256 {sha256})")
}
