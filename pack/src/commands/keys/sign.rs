//! `pack keys sign`: somebody with keys, maybe without a network, agrees to a change.
//!
//! What is shown is read from the very bytes that are signed, never from what the file says of
//! itself: it may have come from anywhere.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cutover_formats::exit::Exit;
use cutover_formats::tuf::pending::{Document, Pending};
use cutover_formats::tuf::root::Root;
use cutover_formats::tuf::targets::{DelegatedRole, Targets};
use cutover_formats::tuf::verify::RoleKeys;
use cutover_publish::apply;
use cutover_publish::keyring::Signing;
use cutover_terminal::{Failure, Output};
use serde::Serialize;

use crate::repository::keyring;

/// What `pack keys sign` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pending change; the signatures are added to this file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder of keys.
    #[arg(long, env = "CUTOVER_KEYS", value_name = "DIR")]
    keys: PathBuf,
    /// Only show what would be signed.
    #[arg(long)]
    show: bool,
}

#[derive(Serialize)]
struct SignedChange {
    contents: Vec<String>,
    signatures: usize,
    missing: Vec<Lack>,
}

#[derive(Serialize)]
struct Lack {
    role: String,
    count: u64,
    keys: Vec<String>,
}

/// Shows the change, and signs it.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let keyring = keyring(args.keys.clone())?;
    let mut pending = apply::read(&args.file)?;
    let contents = describe(&pending)?;
    contents.iter().for_each(|line| output.note(line));
    let mut signatures = 0;
    if !args.show {
        let roles: Vec<_> = pending.documents.iter().map(|one| one.role.clone()).collect();
        keyring.holders(&roles.iter().map(String::as_str).collect::<Vec<_>>())?;
        for document in &mut pending.documents {
            let Document { role, needs, overlap, draft, .. } = document;
            for holder in keyring.holders(&[role])? {
                let signing = holder.sign_draft(draft, needs.iter().chain(&*overlap))?;
                signatures += usize::from(signing == Signing::Signed);
            }
        }
        if signatures == 0 {
            let message = format!("no key in {} is asked to sign this", args.keys.display());
            return Err(Failure::new(Exit::Usage, message)
                .hint("nothing was changed; it may be signed by them already")
                .hint(missing_line(&lacks(&pending))));
        }
        write(&args.file, &pending)?;
    }
    let missing = lacks(&pending);
    let signed = SignedChange { contents, signatures, missing };
    output.result(&signed, || {
        format!("{signatures} signatures added; {}\n", missing_line(&signed.missing))
    });
    Ok(())
}

fn lacks(pending: &Pending) -> Vec<Lack> {
    let lack = |document: &Document| {
        let need = document.needs.iter().find(|need| need.missing(&document.draft) > 0)?;
        Some(Lack {
            role: document.role.clone(),
            count: need.missing(&document.draft),
            keys: need.unsigned(&document.draft),
        })
    };
    pending.documents.iter().filter_map(lack).collect()
}

fn missing_line(missing: &[Lack]) -> String {
    let Some(first) = missing.first() else {
        return "enough have signed: `pack repo apply` publishes it".to_owned();
    };
    let keys: Vec<_> = first.keys.iter().map(|id| short(id)).collect();
    let others = match missing.len() {
        1 => String::new(),
        number => format!(" (and {} more roles)", number - 1),
    };
    format!("{}{others} needs {} more of {}", first.role, first.count, keys.join(", "))
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// What the metadata of a change says, line by line.
fn describe(pending: &Pending) -> Result<Vec<String>, Failure> {
    let mut lines = vec![format!("the change calls itself: {}", pending.says)];
    for document in &pending.documents {
        let head = document.draft.head().map_err(malformed)?;
        let (role, version, expires) = (&document.role, head.version, head.expires);
        lines.push(format!("{role} {version} (after {}), until {expires}", document.base));
        if role == "root" {
            let root: Root = document.draft.read().map_err(malformed)?;
            lines.extend(root.roles.iter().map(|(name, role)| appoints(name, &role.keys)));
            continue;
        }
        let targets: Targets = document.draft.read().map_err(malformed)?;
        // The bins are all signed by the same keys: those of the first stand for all.
        let is_bin =
            |one: &&DelegatedRole| one.name.starts_with("releases-") && one.name != "releases-00";
        let delegated = targets.delegated().iter().filter(|one| !is_bin(one));
        lines.extend(delegated.map(|one| appoints(&one.name, &one.keys)));
        let files = targets
            .targets
            .iter()
            .filter(|_| !role.starts_with("releases-") || pending.documents.len() < 8);
        for (path, target) in files {
            let digest = target.hashes.sha256.map_or_else(String::new, |sha256| sha256.to_string());
            lines.push(format!("  vouches for {path}, {} bytes, {digest}", target.length));
        }
    }
    for (path, text) in &pending.files {
        lines
            .push(format!("  {path} is {}", text.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    // What came by mail must not be able to repaint the terminal.
    let is_plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    Ok(lines.into_iter().map(|line| line.chars().map(is_plain).collect()).collect())
}

fn appoints(name: &str, who: &RoleKeys) -> String {
    let keys: Vec<_> = who.keyids.iter().map(|id| short(id)).collect();
    format!("  {name} is signed by {} of {}", who.threshold, keys.join(", "))
}

fn malformed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("the change is no good: {error}")).hint("nothing was signed")
}

/// Replaces the file: as a whole, or not at all.
fn write(path: &Path, pending: &Pending) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = || -> std::io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        new.write_all(&pending.to_bytes())?;
        new.as_file().sync_all()?;
        new.persist(path)?;
        Ok(())
    };
    written().map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(Exit::of_io(&error), message).hint("the file is as it was")
    })
}
