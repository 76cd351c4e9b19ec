//! The difference between two versions of a targets role: whom it delegates to, what it vouches for.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::{Findings, Objection};
use super::keys::{Listed, appoint, check, unknown};
use super::kind::{BINS, Kind, Placed, channel};
use super::{Base, Content, Difference};
use crate::layout;
use crate::tuf::json::Object;
use crate::tuf::pattern::Paths;
use crate::tuf::targets::{DelegatedRole, Delegations, Target, Targets};

/// Compares a role with what it said before. `is_based`: whether a role that is not there now is known
/// not to have been.
pub(super) fn compare(
    findings: &mut Findings,
    kind: &Kind,
    is_based: bool,
    before: Option<&Targets>,
    after: &Targets,
) {
    let none = Object::new();
    let fields = before.map(|before| &before.unknown).or(is_based.then_some(&none));
    unknown(findings, "", fields, &after.unknown);
    let earlier = before.and_then(|before| before.delegations.as_ref());
    match (kind, &after.delegations) {
        (Kind::Targets | Kind::Releases, Some(after)) => {
            delegations(findings, kind, earlier, after);
        }
        (Kind::Targets | Kind::Releases, None) => findings.object("delegates to nobody"),
        (_, after) if after.as_ref() != earlier => {
            findings.object("delegates to other roles, which pack never has it do");
        }
        _ => {}
    }
    for (path, target) in &after.targets {
        let before = before.and_then(|before| before.targets.get(path));
        if before != Some(target) {
            vouch(findings, kind, path, before, target);
        }
    }
    let gone = before.into_iter().flat_map(|before| before.targets.keys());
    for path in gone.filter(|path| !after.targets.contains_key(*path)) {
        let what = if path.ends_with(".withdrawn") { "the withdrawal " } else { "" };
        findings.object(format!("leaves out {what}{path}; what is published stays"));
    }
}

fn vouch(
    findings: &mut Findings,
    kind: &Kind,
    path: &str,
    before: Option<&Target>,
    after: &Target,
) {
    let Some(placed) = kind.place(path) else {
        return findings.object(format!("vouches for {path}, which has no place in it"));
    };
    if before.is_some() && !matches!(placed, Placed::Pointer(..)) {
        return findings.object(format!("replaces {path}; what is published stays"));
    }
    if after.hashes.sha256.is_none() || after.hashes.sha512.is_some() || !after.unknown.is_empty() {
        findings.object(format!("vouches for {path} in another form than pack does"));
    }
    let content = |target: &Target, says| Content {
        length: target.length,
        sha256: target.hashes.sha256,
        says,
    };
    let Some(says) = placed.says(path, after) else {
        return findings.object(format!("what {path} says is not what is noted of it"));
    };
    let before =
        before.map(|target| content(target, placed.says(path, target).unwrap_or_default()));
    let after = content(after, says);
    findings.show(Difference::Target { path: path.to_owned(), before, after });
}

fn delegations(
    findings: &mut Findings,
    kind: &Kind,
    before: Option<&Delegations>,
    after: &Delegations,
) {
    let who: Vec<_> = after.roles.iter().map(|role| &role.keys).collect();
    check(findings, before.map(listed), listed(after), &who);
    unknown(findings, "delegations.", before.map(|before| &before.unknown), &after.unknown);
    order(findings, before, after);
    let earlier = |name: &str| before.and_then(|before| role(before, name));
    for one in &after.roles {
        let is_kept = earlier(&one.name).is_some_and(|before| scope(before) == scope(one));
        if !is_kept && !kind.delegates(one) {
            let (name, paths) = (&one.name, paths(one).join(", "));
            findings.object(format!("trusts `{name}` with {paths}, which pack never does"));
        }
    }
    for gone in before.iter().flat_map(|before| &before.roles) {
        if role(after, &gone.name).is_some() {
            continue;
        }
        match (kind, channel(&gone.name)) {
            (Kind::Targets, Some(_)) => {
                findings.show(Difference::RoleRemoved { role: gone.name.clone() });
            }
            _ => findings.object(format!("no longer trusts {}", gone.name)),
        }
    }
    if *kind == Kind::Releases {
        return bins(findings, before, after);
    }
    for name in ["branches", "releases"].iter().filter(|name| role(after, name).is_none()) {
        if before.is_none() {
            findings.object(format!("does not trust {name}"));
        }
    }
    let behind = [None].into_iter().chain(after.roles.iter().map(|role| Some(role.name.clone())));
    for (one, behind) in after.roles.iter().zip(behind) {
        let before = earlier(&one.name).zip(before).map(|(one, all)| (listed(all), &one.keys));
        if before.is_none() {
            let (role, paths, terminating) = (one.name.clone(), paths(one), one.terminating);
            findings.show(Difference::RoleAdded { role, paths, terminating, behind });
        }
        appoint(findings, &one.name, before, (listed(after), &one.keys));
    }
}

/// All bins are there, each with its own prefix, and all with the same keys.
fn bins(findings: &mut Findings, before: Option<&Delegations>, after: &Delegations) {
    let names: BTreeSet<_> = after.roles.iter().map(|role| &role.name).collect();
    if before.is_none() && names.len() != BINS {
        findings.object(format!("trusts {} bins, and there are {BINS}", names.len()));
    }
    let is_uniform = |all: &Delegations| all.roles.windows(2).all(|two| two[0].keys == two[1].keys);
    match (before, after.roles.first(), after.roles.last()) {
        (before, Some(first), Some(last)) if is_uniform(after) && before.is_none_or(is_uniform) => {
            let label = format!("each of {} to {}", first.name, last.name);
            let one = before.and_then(|all| Some((listed(all), &all.roles.first()?.keys)));
            appoint(findings, &label, one, (listed(after), &first.keys));
        }
        (before, ..) if before.is_none_or(is_uniform) => {
            findings.object("has some of the bins signed by other keys than the others");
        }
        (before, ..) => {
            for one in &after.roles {
                let earlier =
                    before.and_then(|all| Some((listed(all), &role(all, &one.name)?.keys)));
                appoint(findings, &one.name, earlier, (listed(after), &one.keys));
            }
        }
    }
}

/// Which role is asked first decides whose word counts: those that stay keep their order, and new
/// channels come behind the channels.
fn order(findings: &mut Findings, before: Option<&Delegations>, after: &Delegations) {
    let kept = |all: &Delegations, others: &Delegations| -> Vec<String> {
        let names = all.roles.iter().map(|role| role.name.clone());
        names.filter(|name| role(others, name).is_some()).collect()
    };
    let stays = before.is_none_or(|before| kept(before, after) == kept(after, before));
    let rank = |role: &DelegatedRole| match Kind::of(&role.name) {
        Some(Kind::Channel(_)) => 0,
        Some(Kind::Branches) => 1,
        Some(Kind::Releases) => 2,
        _ => 3,
    };
    let is_new = |one: &&DelegatedRole| before.is_none_or(|all| role(all, &one.name).is_none());
    let ranks: Vec<_> = after.roles.iter().map(rank).collect();
    let fits = after.roles.iter().enumerate().filter(|(_, one)| is_new(one)).all(|(at, one)| {
        ranks[..at].iter().all(|earlier| *earlier <= rank(one))
            && ranks[at + 1..].iter().all(|later| *later >= rank(one))
    });
    if !stays || !fits {
        findings.object("asks the roles in another order than pack has them asked");
    }
}

/// What only several files of a change together say.
pub(super) fn across(base: Option<&Base>, next: &BTreeMap<&str, Targets>) -> Vec<Objection> {
    let mut objections = Vec::new();
    let mut object = |role: &str, why: String| {
        objections.push(Objection::new(role, why));
    };
    let trusted = |role: &str| base.and_then(|base| base.roles.get(role));
    for role in next.keys().filter(|role| **role != "targets") {
        let by = if matches!(Kind::of(role), Some(Kind::Bin(_))) { "releases" } else { "targets" };
        let delegator = next.get(by).or_else(|| trusted(by));
        if delegator.is_some_and(|by| by.delegated().iter().all(|one| one.name != *role)) {
            object(role, format!("{by} does not trust it"));
        }
    }
    let (Some(after), Some(before)) = (next.get("targets"), trusted("targets")) else {
        return objections;
    };
    let has =
        |targets: &Targets, name: &str| targets.delegated().iter().any(|one| one.name == name);
    for one in after.delegated().iter().filter(|one| !has(before, &one.name)) {
        if !next.contains_key(one.name.as_str()) {
            object(
                "targets",
                format!("trusts the new role {}, of which nothing is signed", one.name),
            );
        }
    }
    let gone = before.delegated().iter().filter(|one| !has(after, &one.name));
    for (role, channel) in gone.filter_map(|one| Some((&one.name, channel(&one.name)?))) {
        let marks = trusted(role).into_iter().flat_map(|role| role.targets.keys());
        for mark in marks.filter_map(|path| layout::withdrawn_release(&channel, path)) {
            let stands = after.delegated().iter().any(|one| {
                let Some(other) = self::channel(&one.name) else { return false };
                let path = layout::withdrawn(&other, &mark.0, &mark.1);
                let says = next.get(one.name.as_str()).or_else(|| trusted(&one.name));
                says.is_some_and(|role| role.targets.contains_key(&path))
            });
            if !stands {
                let why = format!("with {role} goes the withdrawal of {} {}", mark.0, mark.1);
                object("targets", why);
            }
        }
    }
    objections
}

fn listed(delegations: &Delegations) -> Listed<'_> {
    Listed { keys: &delegations.keys, unknown: &delegations.unknown }
}

fn role<'d>(delegations: &'d Delegations, name: &str) -> Option<&'d DelegatedRole> {
    delegations.roles.iter().find(|role| role.name == name)
}

/// All that a delegation says but who signs.
fn scope(role: &DelegatedRole) -> (&Paths, bool, &Object) {
    (&role.paths, role.terminating, &role.unknown)
}

fn paths(role: &DelegatedRole) -> Vec<String> {
    match &role.paths {
        Paths::Patterns(all) => all.iter().map(|one| one.as_str().to_owned()).collect(),
        Paths::HashPrefixes(all) => all.iter().map(|one| format!("hashes from {one}")).collect(),
    }
}
