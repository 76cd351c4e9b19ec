//! `pack keys sign`: somebody with keys, maybe without a network, agrees to a change.
//!
//! What is shown is the difference between the very bytes that are signed and what the signer trusts,
//! never what the file says of itself: it may have come from anywhere.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cutover_formats::exit::Exit;
use cutover_formats::tuf::pending::{Document, Pending};
use cutover_formats::tuf::review::{Review, RoleReview, plain};
use cutover_publish::apply;
use cutover_publish::keyring::{Keyring, Signing};
use cutover_publish::review::{Basis, Examined, examine};
use cutover_terminal::{Failure, Output};
use jiff::Timestamp;
use serde::Serialize;

use crate::repository::keyring;

/// So many roles of which only versions and expiry are new have a line each.
const FEW: usize = 8;

/// What `pack keys sign` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pending change; the signatures are added to this file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder of keys.
    #[arg(long, env = "CUTOVER_KEYS", value_name = "DIR")]
    keys: PathBuf,
    /// Only show what would change.
    #[arg(long)]
    show: bool,
}

#[derive(Serialize)]
struct SignedChange {
    says: String,
    compared_with: Basis,
    roles: Vec<RoleReview>,
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
    let Examined { review, basis } = examine(&keyring, &mut pending, Timestamp::now())?;
    let root = keyring.root_file();
    match basis {
        Basis::Trusted => output.note(format!("compared with what {} vouches for", root.display())),
        Basis::NoRoot => output.warn(format!(
            "there is no {}: all that the change says is shown, not only what is new; with the \
             repository's 1.root.json there, got by a way that you trust, it is the difference",
            root.display()
        )),
    }
    let contents = describe(&pending.says, &review);
    contents.iter().for_each(|line| output.note(line));
    let mut signatures = 0;
    if !args.show {
        signatures = add_signatures(&keyring, &mut pending)?;
        if signatures == 0 {
            let message = format!("no key in {} is asked to sign this", args.keys.display());
            return Err(Failure::new(Exit::Usage, message)
                .hint("nothing was changed; it may be signed by them already")
                .hint(missing_line(&lacks(&pending))));
        }
        write(&args.file, &pending)?;
    }
    let (says, missing) = (pending.says.clone(), lacks(&pending));
    let roles = review.roles;
    let signed = SignedChange { says, compared_with: basis, roles, contents, signatures, missing };
    output.result(&signed, || {
        format!("{signatures} signatures added; {}\n", missing_line(&signed.missing))
    });
    Ok(())
}

/// Signs with all keys that are asked for; how many signatures there are more.
fn add_signatures(keyring: &Keyring, pending: &mut Pending) -> Result<usize, Failure> {
    let roles: Vec<_> = pending.documents.iter().map(|one| one.role.clone()).collect();
    keyring.holders(&roles.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut signatures = 0;
    for document in &mut pending.documents {
        let Document { role, needs, overlap, draft, .. } = document;
        for holder in keyring.holders(&[role])? {
            let signing = holder.sign_draft(draft, needs.iter().chain(&*overlap))?;
            signatures += usize::from(signing == Signing::Signed);
        }
    }
    Ok(signatures)
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

/// What a change would change, line by line. Roles that get nothing but a new version and expiry, as
/// bins do by the hundred, share a line.
fn describe(says: &str, review: &Review) -> Vec<String> {
    let mut lines = vec![format!("the change calls itself: {says}")];
    let mut renewed: Vec<&RoleReview> = Vec::new();
    for role in &review.roles {
        if role.differences.is_empty() {
            renewed.push(role);
            continue;
        }
        lines.push(head(role));
        lines.extend(role.differences.iter().map(|one| format!("  {one}")));
    }
    match renewed.as_slice() {
        [] => {}
        few if few.len() <= FEW => {
            lines.extend(few.iter().map(|role| format!("{}: nothing else", head(role))));
        }
        [first, ..] => {
            let names: Vec<_> = renewed.iter().map(|role| role.role.as_str()).collect();
            let dates: BTreeSet<_> = renewed.iter().map(|role| role.expires).collect();
            let until: Vec<_> = dates.iter().map(ToString::to_string).collect();
            let (last, count) = (names[names.len() - 1], names.len());
            lines.push(format!(
                "{} to {last}, {count} roles: new versions, until {}, nothing else: {}",
                first.role,
                until.join(" or "),
                names.join(" ")
            ));
        }
    }
    // What came by mail must not be able to repaint the terminal.
    lines.into_iter().map(|line| plain(&line)).collect()
}

fn head(role: &RoleReview) -> String {
    let RoleReview { role, base, version, expires, expires_before, .. } = role;
    let before = expires_before.map(|time| format!(", before {time}")).unwrap_or_default();
    format!("{role} {version} (after {base}), until {expires}{before}")
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
