//! `pack repo status`: who signs what, how many it takes, and until when it holds.

use cutover_formats::tuf::expiry::{days_left, in_words, warning};
use cutover_formats::tuf::json::Object;
use cutover_formats::tuf::key::Keys;
use cutover_formats::tuf::metadata::Head;
use cutover_formats::tuf::names::{self, TOP_LEVEL};
use cutover_formats::tuf::verify::RoleKeys;
use cutover_publish::{self as publish, View};
use cutover_terminal::{Failure, Output, Table};
use jiff::Timestamp;
use serde::Serialize;

use crate::repository::RepoArgs;
use crate::repository::{Opened, notes};

/// What `pack repo status` takes; of the folder of keys only root.json is read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    repo: RepoArgs,
}

#[derive(Serialize)]
struct Status {
    repository: String,
    roles: Vec<Role>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Role {
    role: String,
    version: u64,
    threshold: u64,
    keys: Vec<KeyOf>,
    expires: Timestamp,
    days_left: i64,
}

#[derive(Serialize)]
struct KeyOf {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// Shows it; that something expires soon is a warning and no failure.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let opened = Opened::new(&args.repo)?;
    let notes = notes(output);
    let repo = opened.repo(&notes);
    let mut view = publish::view(&repo)?;
    let roles = roles(&mut view, repo.now)?;
    let warnings = roles.iter().filter_map(|one| warning(&one.role, one.expires, repo.now));
    let warnings: Vec<_> = warnings.collect();
    warnings.iter().for_each(|line| output.warn(line));
    let status = Status { repository: repo.store.describe(), roles, warnings };
    output.result(&status, || text(&status));
    Ok(())
}

fn roles(view: &mut View<'_>, now: Timestamp) -> Result<Vec<Role>, Failure> {
    let client = &mut view.client;
    let top = client.role("targets").map_err(Failure::from)?;
    let mut roles = Vec::new();
    let trusted = client.trusted()?;
    let root = trusted.root();
    let heads = [&root.head, &trusted.timestamp().head, &trusted.snapshot().head];
    let heads = heads.into_iter().chain(top.as_ref().map(|targets| &targets.head));
    for (name, head) in TOP_LEVEL.iter().zip(heads) {
        if let Some(who) = root.role(name) {
            roles.push(Role::new(name, head, (who, &root.keys, &root.unknown), now));
        }
    }
    let Some(delegations) = top.as_ref().and_then(|top| top.delegations.as_ref()) else {
        return Ok(roles);
    };
    for child in &delegations.roles {
        let keys = (&child.keys, &delegations.keys, &delegations.unknown);
        let Some(targets) = client.role(&child.name)? else { continue };
        roles.push(Role::new(&child.name, &targets.head, keys, now));
        // Of its bins only the one that expires first is of interest.
        let mut first: Option<Role> = None;
        for bin in targets.delegated() {
            let Some(head) = client.role(&bin.name)?.map(|targets| targets.head.clone()) else {
                continue;
            };
            if first.as_ref().is_none_or(|first| head.expires < first.expires)
                && let Some(bins) = &targets.delegations
            {
                let keys = (&bin.keys, &bins.keys, &bins.unknown);
                first = Some(Role::new(&bin.name, &head, keys, now));
            }
        }
        roles.extend(first);
    }
    Ok(roles)
}

impl Role {
    fn new(
        name: &str,
        head: &Head,
        (who, keys, unknown): (&RoleKeys, &Keys, &Object),
        now: Timestamp,
    ) -> Self {
        let ids = who.keyids.iter().filter(|id| keys.contains_key(*id));
        let keys = ids.map(|id| KeyOf {
            id: id.clone(),
            name: names::of_key(unknown, id).map(str::to_owned),
        });
        Self {
            role: name.to_owned(),
            version: head.version,
            threshold: who.threshold,
            keys: keys.collect(),
            expires: head.expires,
            days_left: days_left(head.expires, now),
        }
    }
}

fn text(status: &Status) -> String {
    let mut table = Table::new(["role", "version", "signatures", "keys", "expires", "for"]);
    for role in &status.roles {
        let keys = role.keys.iter().map(|key| {
            let id = key.id.get(..8).unwrap_or(&key.id);
            key.name.as_ref().map_or_else(|| id.to_owned(), |name| format!("{id} ({name})"))
        });
        table.row([
            role.role.clone(),
            role.version.to_string(),
            format!("{} of {}", role.threshold, role.keys.len()),
            keys.collect::<Vec<_>>().join(", "),
            role.expires.to_string(),
            in_words(role.days_left),
        ]);
    }
    table.to_string()
}
