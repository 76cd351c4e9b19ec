//! What a change to a repository's metadata would change: for those who are asked to sign it, and
//! once more for whoever publishes it.
//!
//! Threats: a signature is over whole files, of which a person can only judge the difference from what
//! is trusted already. Whoever hands on a change may try to have something signed that is not seen: a
//! key under the id of another one, a role that quietly takes over paths, a withdrawal that is left
//! out, a field that no listing shows. So the difference is computed from the very values that are
//! signed; a file that says anything which is not compared here is refused, and so is everything that
//! `pack` itself never makes. There is no way to have an objection overruled.
//!
//! Without a trusted base (somebody who does not know the repository) all that a file says is shown.

mod delegated;
mod difference;
mod findings;
mod keys;
mod kind;
mod top;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

pub use self::difference::{Content, Difference, ShownKey};
use self::findings::Findings;
pub use self::findings::{Objection, Objections, plain};
use self::kind::Kind;
use super::draft::Draft;
use super::metadata::{Head, SPEC_VERSION, Signed};
use super::pending::Document;
use super::root::Root;
use super::targets::Targets;

/// Most versions that a change steps over: files that a publisher left behind who died or lost a race.
const MOST_SKIPPED: u64 = 256;

/// What is trusted of a repository, as far as a change needs it.
#[derive(Clone, Debug)]
pub struct Base {
    /// The root.
    pub root: Root,
    /// The version of every role that the snapshot names.
    pub versions: BTreeMap<String, u64>,
    /// What roles say: those that the change replaces, those that delegate to them, and where a
    /// channel goes, all channels.
    pub roles: BTreeMap<String, Targets>,
}

/// The difference that a change makes, role by role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Review {
    /// In the order of the change's files.
    pub roles: Vec<RoleReview>,
}

/// The difference that one file of a change makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleReview {
    /// Its role.
    pub role: String,
    /// The version that it was made from, 0 where there was none.
    pub base: u64,
    /// The version that it has.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
    /// When the one before it expires, where that is known.
    pub expires_before: Option<Timestamp>,
    /// What else is not as it was.
    pub differences: Vec<Difference>,
}

/// Compares a change with what is trusted; refuses what `pack` never makes, and what has expired at
/// `now`. All objections are given, not only the first.
pub fn review(
    base: Option<&Base>,
    documents: &[Document],
    now: Timestamp,
) -> Result<Review, Objections> {
    let mut objections = Vec::new();
    let mut roles = Vec::new();
    let mut next = BTreeMap::new();
    for document in documents {
        let mut findings = Findings::new(&document.role);
        let mut expires_before = None;
        match Kind::of(&document.role) {
            None => findings.object("is no role that a change can be of"),
            Some(Kind::Root) => {
                let before = base.map(|base| &base.root);
                expires_before = before.map(|root| root.head.expires);
                if let Some(root) = read::<Root>(&document.draft, &mut findings) {
                    check_head(&mut findings, document, base, before.map(|root| &root.head), now);
                    top::compare(&mut findings, before, &root);
                }
            }
            Some(kind) => {
                let before = base.and_then(|base| base.roles.get(&document.role));
                expires_before = before.map(|role| role.head.expires);
                if let Some(targets) = read::<Targets>(&document.draft, &mut findings) {
                    check_head(&mut findings, document, base, before.map(|role| &role.head), now);
                    delegated::compare(&mut findings, &kind, base.is_some(), before, &targets);
                    next.insert(document.role.as_str(), targets);
                }
            }
        }
        let expires = document.draft.head().map_or(now, |head| head.expires);
        let differences = findings.into_parts(&mut objections);
        let (role, version) = (document.role.clone(), document.version());
        let base = document.base;
        roles.push(RoleReview { role, base, version, expires, expires_before, differences });
    }
    objections.extend(delegated::across(base, &next));
    if objections.is_empty() { Ok(Review { roles }) } else { Err(Objections(objections)) }
}

/// What is signed, if it says nothing but what is read of it.
fn read<T: Signed>(draft: &Draft, findings: &mut Findings) -> Option<T> {
    let read = match draft.read::<T>() {
        Ok(read) => read,
        Err(error) => {
            findings.object(error.to_string());
            return None;
        }
    };
    if !Draft::new(&read).says_the_same(draft) {
        findings.object("is not written as pack writes it: it says something that is not shown");
    }
    Some(read)
}

fn check_head(
    findings: &mut Findings,
    document: &Document,
    base: Option<&Base>,
    before: Option<&Head>,
    now: Timestamp,
) {
    let (role, made_from) = (document.role.as_str(), document.base);
    let Ok(head) = document.draft.head() else { return };
    let trusted = base.map(|base| match role {
        "root" => base.root.head.version,
        role => base.versions.get(role).copied().unwrap_or(0),
    });
    if let Some(trusted) = trusted.filter(|trusted| *trusted != made_from) {
        findings.object(format!("was made from version {made_from}, and {trusted} is trusted"));
    }
    let most = if role == "root" { 1 } else { 1 + MOST_SKIPPED };
    if head.version <= made_from || head.version - made_from > most {
        findings.object(format!("version {} does not follow version {made_from}", head.version));
    }
    if head.expires <= now {
        findings.object(format!("expired at {}", head.expires));
    }
    let is_known = |head: &Head| head.spec_version == SPEC_VERSION;
    if !is_known(&head) && before.is_none_or(|before| before.spec_version != head.spec_version) {
        findings.object(format!("spec_version is `{}`", head.spec_version));
    }
}

#[cfg(test)]
mod tests;
