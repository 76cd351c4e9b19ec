//! What an entry may say, whoever wrote it.

use super::{BuiltIn, Check, StageEntry, Stages};
use crate::name::StageName;
use crate::spelling;

/// Who wrote the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A release: its entries must stand alone.
    Release,
    /// A node: its entries may lean on a release's.
    Node,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The keys on the way there.
    pub keys: Vec<String>,
    /// What is wrong with it.
    pub why: String,
}

/// The first thing that is wrong with what `author` says about stages and checks.
pub fn object(author: Author, stages: &Stages, checks: &[Check]) -> Result<(), Objection> {
    for (name, entry) in stages {
        let verdict = match BuiltIn::named(name.as_str()) {
            Some(stage) => built_in(stage, entry),
            None => added(author, stages, name, entry),
        };
        let verdict = verdict.and_then(|()| skipped(author, entry));
        verdict.map_err(|(key, why)| {
            let own = Some(key).filter(|key| !key.is_empty());
            let keys = ["stage", name.as_str()].into_iter().chain(own);
            Objection { keys: keys.map(str::to_owned).collect(), why }
        })?;
    }
    for (index, check) in checks.iter().enumerate() {
        checked(author, stages, check).map_err(|why| {
            let keys = ["check".to_owned(), index.to_string(), "stage".to_owned()];
            Objection { keys: keys.into(), why }
        })?;
    }
    Ok(())
}

type Verdict = Result<(), (&'static str, String)>;

/// An entry for a built-in stage.
fn built_in(stage: BuiltIn, entry: &StageEntry) -> Verdict {
    let given = [
        ("after", entry.after.is_some()),
        ("before", entry.before.is_some()),
        ("once", entry.once.is_some()),
        ("skip", entry.skip.is_some()),
    ];
    if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
        let why = format!(
            "`{stage}` is built in: it has its place, runs on every node and is not left out"
        );
        return Err((key, why));
    }
    let instead = [("run", entry.run.is_some()), ("undo", entry.undo.is_some())];
    match instead.into_iter().find(|(_, given)| *given) {
        Some((key, _)) if stage.is_fixed() => Err((
            key,
            format!(
                "`{stage}` cannot be replaced, because what is trusted or what runs hangs on it; \
                 put a stage of your own before or after it"
            ),
        )),
        _ => Ok(()),
    }
}

/// An entry for a stage that is not built in.
fn added(author: Author, stages: &Stages, name: &StageName, entry: &StageEntry) -> Verdict {
    match (&entry.after, &entry.before) {
        (Some(_), Some(_)) => return Err(("before", "has a place already: `after`".to_owned())),
        (None, None) if author == Author::Release => {
            let meant = meant(name, []);
            return Err(("", format!("needs a place: `after` or `before` another stage{meant}")));
        }
        _ => {}
    }
    if author == Author::Release && entry.run.is_none() {
        return Err(("", "needs something to do: `run`".to_owned()));
    }
    let places = [("after", &entry.after), ("before", &entry.before)];
    for (key, anchor) in places {
        let Some(anchor) = anchor else { continue };
        if author == Author::Release {
            known(stages, anchor).map_err(|why| (key, why))?;
        }
        outside(anchor, key).map_err(|why| (key, why))?;
    }
    Ok(())
}

fn skipped(author: Author, entry: &StageEntry) -> Verdict {
    match (author, entry.skip) {
        (Author::Release, Some(_)) => Err(("skip", "is a node's to say".to_owned())),
        _ => Ok(()),
    }
}

fn checked(author: Author, stages: &Stages, check: &Check) -> Result<(), String> {
    if author == Author::Release {
        known(stages, &check.stage)?;
    }
    outside(&check.stage, &check.when.to_string())
}

fn known(stages: &Stages, name: &StageName) -> Result<(), String> {
    if BuiltIn::named(name.as_str()).is_some() || stages.contains_key(name) {
        return Ok(());
    }
    let meant = meant(name, stages.keys());
    Err(format!("names `{name}`, and there is no such stage{meant}"))
}

/// What to add where a name stands for no stage: the one of a built-in stage, or of the `others`, that
/// it is a slip of.
pub fn meant<'a>(name: &StageName, others: impl IntoIterator<Item = &'a StageName>) -> String {
    let others = others.into_iter().map(StageName::as_str);
    let known = BuiltIn::ALL.map(BuiltIn::as_str).into_iter().chain(others);
    let meant = spelling::slip(name.as_str(), known);
    meant.map_or_else(String::new, |meant| format!("; perhaps `{meant}` is meant"))
}

/// Nothing happens before the first stage or after the last.
fn outside(anchor: &StageName, side: &str) -> Result<(), String> {
    match (BuiltIn::named(anchor.as_str()), side) {
        (Some(BuiltIn::Resolve), "before") => {
            Err("is before `resolve`, when no release is known yet".to_owned())
        }
        (Some(BuiltIn::Settle), "after") => {
            Err("is after `settle`, which ends the install".to_owned())
        }
        _ => Ok(()),
    }
}
