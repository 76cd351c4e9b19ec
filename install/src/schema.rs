//! The database's say: a release is not installed, and not gone back to, where its database's schema
//! is one that it does not work with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;

use cutover_formats::descriptor::Descriptor;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::schema::{NodeSchema, Schema};
use cutover_formats::version::Version;
use cutover_repository::client::{Client, TrustError};
use cutover_repository::mirrors::Mirrors;
use jiff::Timestamp;

use crate::disk::DiskError;
use crate::node::{Node, NodeError};
use crate::plan::Plan;
use crate::stage::{CommandError, Job, Scene};

/// The database cannot be asked, or is not one for this release.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It said something else than a version.
    #[error(
        "`{command}` should print the version of the database's schema, and printed {printed:?}"
    )]
    NoVersion {
        /// As it is written.
        command: String,
        /// What it printed.
        printed: String,
    },
    /// The command failed.
    #[error("the database's schema is not known: {0}")]
    Command(#[from] CommandError),
    /// What it printed cannot be read.
    #[error("the database's schema is not known: {0}")]
    Disk(#[from] DiskError),
    /// It is not one for the release.
    #[error("the database is at schema {found}, and {version} works with {accepted}")]
    Refused {
        /// The release.
        version: Version,
        /// What it works with.
        accepted: String,
        /// What is there.
        found: u64,
        /// The nearest release that works with it.
        nearest: Option<Version>,
    },
    /// The stage that should bring it forward did not.
    #[error(
        "after the migration the database is at schema {found}, and {version} is for {expected}"
    )]
    NotBrought {
        /// The release.
        version: Version,
        /// Which schema it is for.
        expected: u64,
        /// What is there.
        found: u64,
    },
}

impl Explain for SchemaError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoVersion { .. } => Exit::Usage,
            // The command is the node's own.
            Self::Command(error) => match error.exit() {
                Exit::CheckFailed => Exit::Usage,
                exit => exit,
            },
            Self::Disk(error) => error.exit(),
            Self::Refused { .. } | Self::NotBrought { .. } => Exit::CheckFailed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoVersion { .. } => {
                vec!["see `[schema]` in node.toml: a whole number, and nothing else".to_owned()]
            }
            Self::Command(error) => error.hints(),
            Self::Disk(error) => error.hints(),
            Self::Refused { nearest: Some(nearest), .. } => {
                vec![format!(
                    "the nearest release that works with it is {nearest}: `install {nearest}`"
                )]
            }
            Self::Refused { nearest: None, found, .. } => {
                vec![format!("no other release that is known here works with schema {found}")]
            }
            Self::NotBrought { .. } => Vec::new(),
        }
    }
}

/// More bytes than any version has, with its end of line.
const LONGEST: u64 = 4096;

/// The version that the database is at.
pub fn ask(settings: &NodeSchema, scene: &mut Scene<'_>) -> Result<u64, SchemaError> {
    let log = scene.node.root.run().join("schema.log");
    let limit = settings.timeout.as_duration();
    Job { line: &settings.command, log: &log, limit }.run(scene)?;
    let mut printed = Vec::new();
    let read = File::open(&log).and_then(|log| log.take(LONGEST).read_to_end(&mut printed));
    read.map_err(|error| DiskError::new("read", &log, error))?;
    let printed = String::from_utf8_lossy(&printed);
    printed.trim().parse().map_err(|_| SchemaError::NoVersion {
        command: settings.command.to_string(),
        printed: printed.chars().take(80).collect(),
    })
}

/// What an operator should know before.
pub fn notes(node: &Node, plan: &Plan, release: &Descriptor) -> Result<Vec<String>, NodeError> {
    let Some(schema) = &release.schema else { return Ok(Vec::new()) };
    let mut notes = Vec::new();
    if node.settings.schema.is_none() {
        notes.push(format!(
            "node.toml has no [schema]: the database is not asked whether {} works with it",
            plan.to
        ));
    }
    let brought = plan.steps.iter().any(|step| step.stage == schema.migrate);
    if let (true, Some(from)) = (brought, &plan.from)
        && let Some(old) = node.descriptor(from)?.schema
        && !old.takes(schema.version)
    {
        notes.push(format!(
            "no way back behind `{}`: {from} does not work with schema {} (but {})",
            schema.migrate,
            schema.version,
            old.accepted()
        ));
    }
    Ok(notes)
}

/// Which of `others` to name instead of `to`, whose database is at `found`: the nearest below where
/// `to` lies above what runs, else the nearest above; failing that, the nearest on the other side.
#[must_use]
pub fn nearest<'a>(
    to: &Version,
    from: Option<&Version>,
    found: u64,
    others: &'a BTreeMap<Version, Schema>,
) -> Option<&'a Version> {
    let takes = |(version, schema): &(&Version, &Schema)| *version != to && schema.takes(found);
    let fit: Vec<&Version> = others.iter().filter(takes).map(|(version, _)| version).collect();
    let below = fit.iter().rev().find(|version| **version < to);
    let above = fit.iter().find(|version| **version > to);
    let goes_up = from.is_none_or(|from| from < to);
    let (first, second) = if goes_up { (below, above) } else { (above, below) };
    first.or(second).copied()
}

/// The releases on this node that say what they work with.
pub fn here(node: &Node) -> Result<BTreeMap<Version, Schema>, NodeError> {
    let mut schemas = BTreeMap::new();
    for version in node.sealed()? {
        if let Some(schema) = node.descriptor(&version)?.schema {
            schemas.insert(version, schema);
        }
    }
    Ok(schemas)
}

/// The releases in the repository that lie nearest to `to`, as far as they say what they work with.
/// Only advice hangs on it, so what cannot be had is left out.
pub fn published(node: &Node, mirrors: &Mirrors<'_>, to: &Version) -> BTreeMap<Version, Schema> {
    /// Each is a file of a few kilobytes to fetch.
    const LOOKED_AT: usize = 8;
    let look = || -> Result<BTreeMap<Version, Schema>, TrustError> {
        let product = &node.settings.product;
        let mut client = Client::open_any(mirrors.clone(), node.root.trust(), Timestamp::now())?;
        client.refresh()?;
        let releases = client.releases(Some(product))?;
        let versions = releases.into_iter().map(|entry| entry.version).collect();
        let mut schemas = BTreeMap::new();
        for version in beside(to, versions, LOOKED_AT) {
            if client.withdrawn(product, &version)?.is_some() {
                continue;
            }
            let known = client.descriptor(product, &version)?;
            schemas.extend(known.and_then(|(it, ..)| Some((version, it.schema?))));
        }
        Ok(schemas)
    };
    look().unwrap_or_default()
}

/// The versions nearest to `to`, at most so many on each side.
fn beside(to: &Version, versions: BTreeSet<Version>, on_each: usize) -> Vec<Version> {
    let (below, above): (Vec<Version>, Vec<Version>) =
        versions.into_iter().filter(|version| version != to).partition(|version| version < to);
    below.into_iter().rev().take(on_each).chain(above.into_iter().take(on_each)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_release_are_looked_at() {
        let v = |minor| Version::new(1, minor, 0);
        let found = beside(&v(4), (0..9).map(v).collect(), 2);
        assert_eq!(found, [3, 2, 5, 6].map(v));
    }

    #[test]
    fn the_nearest_release_that_works() {
        let others: BTreeMap<Version, Schema> =
            [(0, "40"), (1, ">=40,<=41"), (2, ">=41,<=42"), (3, "42"), (4, "43")]
                .into_iter()
                .map(|(minor, accepts)| {
                    let text = format!("version = 1\naccepts = '{accepts}'");
                    (Version::new(1, minor, 0), toml::from_str(&text).unwrap())
                })
                .collect();
        let v = |minor| Version::new(1, minor, 0);
        let nearest = |to, from: Option<u64>, found| {
            nearest(&v(to), from.map(v).as_ref(), found, &others).map(|version| version.minor)
        };
        // Too far up: the last one on the way that still works.
        assert_eq!(nearest(4, Some(0), 40), Some(1));
        assert_eq!(nearest(4, Some(1), 41), Some(2));
        // Too far back: the first one on the way.
        assert_eq!(nearest(0, Some(3), 42), Some(2));
        assert_eq!(nearest(0, Some(4), 43), Some(4));
        assert_eq!(nearest(0, None, 41), Some(1));
        assert_eq!(nearest(0, None, 99), None);
    }
}
