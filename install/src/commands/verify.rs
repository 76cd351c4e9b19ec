//! `install verify`

use cutover_formats::path::RelPath;
use cutover_formats::version::Version;
use cutover_terminal::{Exit, Failure, Output};
use serde::Serialize;

use super::RootArgs;
use crate::audit::{Finding, Inventory, audit};
use crate::configure::Links;
use crate::configure::rendering::Record;
use crate::configure::stale::Stale;
use crate::disk;
use crate::fetch::recorded_file_list;
use crate::integrity;
use crate::node::{Node, NodeError};

/// What to hold against what was signed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// This release [default: the current one]
    pub version: Option<Version>,
    /// Every release on this node
    #[arg(long, conflicts_with = "version")]
    pub all: bool,
}

#[derive(Serialize)]
struct Verified {
    releases: Vec<Audited>,
}

#[derive(Serialize)]
struct Audited {
    version: Version,
    entries: u64,
    findings: Vec<Finding>,
    /// How many of the findings are of rendered files, which have a remedy of their own.
    #[serde(skip)]
    rendered: usize,
    #[serde(skip)]
    current: bool,
    /// Rendered files that would come out otherwise now.
    stale: Vec<RelPath>,
}

/// Audits; any finding is exit 3.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let versions: Vec<Version> =
        match (&args.version, args.all) {
            (_, true) => node.sealed()?.into_iter().collect(),
            (Some(version), _) => vec![version.clone()],
            (None, _) => vec![node.current()?.ok_or_else(|| {
                Failure::new(Exit::NotFound, "no release is current on this node")
            })?],
        };
    let mut releases = Vec::new();
    for version in versions {
        releases.push(verify(&node, version, output)?);
    }
    let wrong: usize = releases.iter().map(|audited| audited.findings.len()).sum();
    if wrong == 0 {
        let verified = Verified { releases };
        output.result(&verified, || describe(&verified));
        return Ok(());
    }
    let all = releases.iter().flat_map(|audited| {
        let version = &audited.version;
        audited.findings.iter().map(move |finding| (version, finding))
    });
    const SHOWN: usize = 20;
    let mut failure = Failure::new(
        Exit::NotTrusted,
        match wrong {
            1 => "a path is not as it was signed or built".to_owned(),
            _ => format!("{wrong} paths are not as they were signed or built"),
        },
    );
    for (version, Finding { path, problem }) in all.take(SHOWN) {
        failure = failure.hint(format!("{version}: {} {problem}", path.display()));
    }
    if wrong > SHOWN {
        failure = failure.hint(format!("and {} more", wrong - SHOWN));
    }
    let advice = releases.iter().flat_map(advice);
    Err(advice.fold(failure.hint("nothing was changed"), Failure::hint))
}

/// What brings a release back to what it was.
fn advice(Audited { version, findings, rendered, current, .. }: &Audited) -> Vec<String> {
    let mut advice = Vec::new();
    if *rendered > 0 {
        advice.push(match current {
            true => "`install apply` renders the files of the configuration anew".to_owned(),
            false => format!("`install {version}` renders the files of the configuration anew"),
        });
    }
    if findings.len() > *rendered {
        advice.push(match current {
            true => format!(
                "{version} is in use: install another release, then `install {version}` brings it again"
            ),
            false => format!("`install {version}` brings it again"),
        });
    }
    advice
}

fn verify(node: &Node, version: Version, output: &Output) -> Result<Audited, Failure> {
    if !node.sealed()?.contains(&version) {
        return Err(NodeError::NotHere(version).into());
    }
    let descriptor = node.descriptor(&version)?;
    let list = recorded_file_list(&node.root, &descriptor)?;
    let prefix = node.root.prefix(&version);
    let built: Option<Inventory> = disk::read_json(&node.root.built(&version))?;
    let links = Links::plan(&node.root, &descriptor, &list)?;
    let mut beside = links.paths();
    beside.extend(descriptor.python.iter().map(|python| python.env.clone()));
    let mut findings = audit(&list, &prefix, &beside)?;
    findings.extend(links.audit(&prefix)?);
    let rendered = Record::load(&node.root, &version)?.audit(&node.root, &version)?;
    let count = rendered.len();
    findings.extend(rendered);
    if let Some(built) = built {
        findings.extend(built.audit(&prefix)?);
    }
    findings.extend(integrity::interpreter(&prefix, &descriptor));
    let entries = descriptor.files.entries;
    let stale = Stale::look(node, &descriptor)?;
    stale.warn(node, &descriptor, output);
    let (current, stale) = (node.current()?.as_ref() == Some(&version), stale.files().to_vec());
    Ok(Audited { version, entries, findings, rendered: count, current, stale })
}

fn describe(verified: &Verified) -> String {
    let line = |audited: &Audited| {
        format!("{}: all {} entries are as they were signed\n", audited.version, audited.entries)
    };
    verified.releases.iter().map(line).collect()
}
