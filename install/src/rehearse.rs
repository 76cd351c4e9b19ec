//! Rehearsing an install: everything up to a healthy service, in a folder of its own.
//!
//! In `state/rehearsal` stands a node's root in small ([`scratch`]). The stages that bring a release
//! and the first two that run it go through there as in an install, with the same code; then the
//! service is ended and the folder goes. Left out, and named in the report, is whatever might change
//! something outside: stages of releases, nodes and programs, and checks at what is left out. After
//! a crash, whoever next takes the node's lock [`sweep`]s.

mod figures;
mod run;
mod scratch;

use std::path::PathBuf;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::name::StageName;
use cutover_formats::stage::BuiltIn;
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::{Failure, Output};

use crate::disk;
use crate::gate::LAST_WORDS;
use crate::node::Node;
use crate::plan::{GateSituation, Operation, Situation, Wishes, plan};
use crate::resolve::Release;
use crate::schema;
use crate::transaction::StageError;

pub use figures::{Dark, DiskUse, LeftOut, Played, Rehearsal, Stop, StopFrom};
pub use scratch::sweep;

/// A stage that did not go well.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {cause}")]
pub struct Failed {
    stage: StageName,
    cause: Box<StageError>,
    scratch: PathBuf,
}

impl Explain for Failed {
    fn exit(&self) -> Exit {
        self.cause.exit()
    }

    fn hints(&self) -> Vec<String> {
        let mut hints = self.cause.hints();
        // Logs and prefixes there are gone by now. What a service said is kept, whatever it names.
        let scratch = self.scratch.display().to_string();
        hints.retain(|hint| hint.starts_with(LAST_WORDS) || !hint.contains(&scratch));
        hints.push("this was a rehearsal: the node is as it was".to_owned());
        hints
    }
}

/// Rehearses an install of `release`. The node's lock is held, and nothing is left of an earlier one.
pub fn rehearse(
    node: &Node,
    situation: &Situation,
    release: &Release,
    wishes: &Wishes<'_>,
    mirrors: &Mirrors<'_>,
    output: &Output,
) -> Result<Rehearsal, Failure> {
    let descriptor = &release.descriptor;
    let real = plan(Operation::Install, situation, descriptor, wishes)?;
    // A newcomer beside what runs, on a node that has nothing yet.
    let aside = Situation {
        sealed: Default::default(),
        gate: GateSituation::Up { serving: None },
        pool: None,
        ..situation.clone()
    };
    let mut plan = plan(Operation::Install, &aside, descriptor, wishes)?;
    plan.notes.extend(schema::notes(node, &real, descriptor)?);
    if situation.sealed.contains(&descriptor.version) {
        let version = &descriptor.version;
        plan.notes.push(format!("{version} is on this node already: an install brings nothing"));
    }
    plan.notes.iter().for_each(|note| output.warn(note));
    let done = scratch::make(node, release)
        .map_err(|error| failed(node, &BuiltIn::Requires.name(), error.into()))
        .and_then(|scratch| run::run(node, &scratch, &plan, release, mirrors, output));
    if let Err(failed) = &done
        && failed.cause.spoils_contents()
    {
        let _ = disk::remove_tree(&node.root.rehearsal().prefix(&descriptor.version));
    }
    let swept = sweep(&node.root);
    // Why it did not go well matters more than that it left something.
    let done = done?;
    let _ = swept?;
    let dark = figures::dark(node, situation, done.ready)?;
    Ok(Rehearsal {
        product: plan.product,
        version: plan.to,
        changeover: real.changeover,
        stages: done.times,
        checks: done.checks,
        left_out: done.left_out,
        service: done.played,
        dark,
        fetched: done.fetched,
        disk: done.disk,
        notes: plan.notes,
    })
}

fn failed(node: &Node, stage: &StageName, cause: StageError) -> Failed {
    let scratch = node.root.rehearsal().path().to_owned();
    Failed { stage: stage.clone(), cause: Box::new(cause), scratch }
}
