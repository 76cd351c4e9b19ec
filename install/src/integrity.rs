//! Whether a release that is on the node is still what was sealed: looked at before anything is held,
//! refused or stopped for it, and told where it runs again all the same.
//!
//! A prefix is not kept from root, clean-up jobs or failing disks by being sealed. So an install, a
//! rollback and an apply look first: names, kinds, sizes and links, without reading contents, or with
//! `--deep` digests as well. What is damaged is brought again or refused. The way back that follows a
//! failure asks nobody: it leads to what ran, and says in which state that is.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::descriptor::{Descriptor, Python};
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::version::Version;
use cutover_terminal::Output;

use crate::audit::{self, Depth, Finding, Inventory, Problem};
use crate::configure::Links;
use crate::disk::{self, DiskError};
use crate::fetch::parse_file_list;
use crate::node::{Node, NodeError};
use crate::plan::{GateSituation, Operation, Situation};
use crate::withdrawn;

/// How many damaged paths are named.
const NAMED: usize = 3;

/// A release that is on the node and not whole is refused.
#[derive(Debug, thiserror::Error)]
#[error("{version} is damaged on this node: {}", named(findings))]
pub struct Damaged {
    version: Version,
    findings: Vec<Finding>,
    /// Whether it runs, so that it cannot be brought again where it is.
    used: bool,
}

impl Explain for Damaged {
    fn exit(&self) -> Exit {
        Exit::NotTrusted
    }

    fn hints(&self) -> Vec<String> {
        let version = &self.version;
        let next = if self.used {
            format!(
                "it is in use: install another release, then `install {version}` brings it again"
            )
        } else {
            format!("`install {version}` brings it again from the repository")
        };
        let all = format!("`install verify {version}` lists all that is wrong");
        vec![format!("nothing was changed; {next}"), all]
    }
}

/// The first few of what is wrong, and how many more there are.
#[must_use]
pub fn named(findings: &[Finding]) -> String {
    let (few, rest) = findings.split_at(findings.len().min(NAMED));
    let few: Vec<String> = few
        .iter()
        .map(|Finding { path, problem }| format!("{} {problem}", path.display()))
        .collect();
    match rest.len() {
        0 => few.join("; "),
        more => format!("{}; and {more} more", few.join("; ")),
    }
}

/// What of a release on this node is gone or has become something else. What it lacks for being looked
/// at, as its own file list, is such a finding; an error is one of the disk.
pub fn damage(node: &Node, version: &Version, depth: Depth) -> Result<Vec<Finding>, DiskError> {
    let root = &node.root;
    let unreadable =
        |path: PathBuf, why: String| Finding { path, problem: Problem::Unreadable { why } };
    let descriptor = match node.descriptor(version) {
        Ok(descriptor) => descriptor,
        Err(NodeError::Disk(error)) => return Err(error),
        Err(error) => return Ok(vec![unreadable(root.descriptor(version), error.to_string())]),
    };
    let path = root.file_list(version);
    let list = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(vec![Finding { path, problem: Problem::Missing }]);
        }
        read => parse_file_list(&descriptor, &read.map_err(|e| DiskError::new("read", &path, e))?),
    };
    let list = match list {
        Ok(list) => list,
        Err(error) => return Ok(vec![unreadable(path, error.to_string())]),
    };
    let prefix = root.prefix(version);
    let mut findings = audit::damage(&list, &prefix, depth)?;
    match Links::plan(root, &descriptor, &list) {
        Ok(links) => findings.extend(links.audit(&prefix)?),
        Err(error) => findings.push(unreadable(path, error.to_string())),
    }
    let built = root.built(version);
    match disk::read_json::<Inventory>(&built) {
        Ok(inventory) => {
            let damaged = inventory.map(|it| it.damage(&prefix, depth)).transpose()?;
            findings.extend(damaged.unwrap_or_default());
        }
        Err(error) if is_nonsense(&error) => {
            findings.push(unreadable(built, error.source.to_string()));
        }
        Err(error) => return Err(error),
    }
    findings.extend(interpreter(&prefix, &descriptor));
    Ok(findings)
}

/// Whether a file was read and is not what it should be.
fn is_nonsense(error: &DiskError) -> bool {
    matches!(error.source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

/// What is wrong with the interpreter of the release's environment, where that leads out of the prefix:
/// the system may have removed it, or put another version in its place.
#[must_use]
pub fn interpreter(prefix: &Path, release: &Descriptor) -> Option<Finding> {
    let Python { env, .. } = release.python.as_ref()?;
    let below = env.as_path().join("bin/python");
    let program = prefix.join(&below);
    let says = fs::read_link(&program).ok()?;
    let broken =
        |why: String| Some(Finding { path: below.clone(), problem: Problem::Interpreter { why } });
    let real = match fs::canonicalize(&program) {
        Ok(real) => real,
        Err(error) => {
            let says = farthest(&program).unwrap_or(says);
            return broken(format!("leads to {}, which does not run: {error}", says.display()));
        }
    };
    let runs =
        fs::metadata(&real).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    if !runs {
        return broken(format!("leads to {}, which is no program", real.display()));
    }
    let is = version_in(real.file_name()?.to_str()?)?;
    let packages = fs::read_dir(prefix.join(env.as_path()).join("lib")).ok()?;
    let names = packages.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let made_for: Vec<String> = names.filter(|name| version_in(name).is_some()).collect();
    if made_for.is_empty() || made_for.iter().any(|name| version_in(name) == Some(is)) {
        return None;
    }
    broken(format!("leads to {}, but the environment was made for {}", real.display(), made_for[0]))
}

/// The end of a chain of links, as far as it can be gone.
fn farthest(link: &Path) -> Option<PathBuf> {
    /// As many as the kernel goes.
    const LINKS: usize = 40;
    let mut at = link.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&at) {
            Ok(target) => at = at.parent()?.join(target),
            Err(_) => return Some(at),
        }
    }
    None
}

/// The version in `python3.11`.
fn version_in(name: &str) -> Option<(u32, u32)> {
    let (major, minor) = name.strip_prefix("python")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Looks at a release that is on the node and that `operation` leads to. One that an install can bring
/// again is taken out of `situation`, so that it is: in words, what is wrong with it.
pub fn heed(
    node: &Node,
    operation: Operation,
    version: &Version,
    situation: &mut Situation,
    depth: Depth,
) -> Result<Option<String>, HeedError> {
    let serves = matches!(&situation.gate, GateSituation::Up { serving } if serving.as_ref() == Some(version));
    let used = serves || situation.current.as_ref() == Some(version);
    let findings = match (situation.sealed.contains(version), used) {
        (true, _) => damage(node, version, depth)?,
        // It would be taken away while it is in use.
        (false, true) => {
            vec![Finding { path: node.root.seal(version), problem: Problem::Missing }]
        }
        (false, false) => Vec::new(),
    };
    if findings.is_empty() {
        return Ok(None);
    }
    let version = version.clone();
    if used || operation != Operation::Install {
        return Err(Damaged { version, findings, used }.into());
    }
    situation.sealed.remove(&version);
    Ok(Some(format!(
        "{version} is damaged on this node and is brought again: {}",
        named(&findings)
    )))
}

/// A release was not found to be whole.
#[derive(Debug, thiserror::Error)]
pub enum HeedError {
    /// It is not.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// It cannot be looked at.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Explain for HeedError {
    fn exit(&self) -> Exit {
        match self {
            Self::Damaged(error) => error.exit(),
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Damaged(error) => error.hints(),
            Self::Disk(error) => error.hints(),
        }
    }
}

/// Says in which state the release is that the node goes back to after a failure: it goes there in any
/// case.
pub(crate) fn warn_of(node: &Node, version: &Version, output: &Output) {
    match damage(node, version, Depth::Sizes) {
        Ok(findings) if findings.is_empty() => {}
        Ok(findings) => output.warn(format!(
            "THE NODE WENT BACK TO {version}, WHICH IS DAMAGED: {}; install another release",
            named(&findings)
        )),
        Err(error) => output.warn(format!("{version} cannot be looked at: {error}")),
    }
    if let Some(withdrawal) = withdrawn::known(node).0.get(version) {
        output.warn(format!(
            "THE NODE WENT BACK TO {version}, WHICH WAS WITHDRAWN from {}: {}; install another release",
            withdrawal.channel, withdrawal.reason
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_interpreters() {
        assert_eq!(version_in("python3.11"), Some((3, 11)));
        for other in ["python", "python3", "pypy3.10", "python3.x"] {
            assert_eq!(version_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_few_are_named() {
        let finding = |name: &str| Finding { path: name.into(), problem: Problem::Missing };
        assert_eq!(named(&[finding("a")]), "a is missing");
        let many: Vec<Finding> = ["a", "b", "c", "d", "e"].map(finding).into();
        assert!(named(&many).ends_with("c is missing; and 2 more"), "{}", named(&many));
    }
}
