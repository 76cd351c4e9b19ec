//! Installing, as the `install` program does it and as a program of one's own can.
//!
//! ```no_run
//! use cutover_install::installer::Installer;
//! use cutover_install::plan::Place;
//! # fn warm_up() -> impl cutover_install::stage::Stage { Quiet }
//! # struct Quiet;
//! # impl cutover_install::stage::Stage for Quiet {
//! #     fn plan(&self) -> String { String::new() }
//! #     fn run(&self, _: &mut cutover_install::stage::Scene<'_>)
//! #         -> Result<(), cutover_terminal::Failure> { Ok(()) }
//! #     fn undo(&self, _: &mut cutover_install::stage::Scene<'_>)
//! #         -> Result<(), cutover_terminal::Failure> { Ok(()) }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let output = cutover_terminal::OutputArgs::default().output();
//! let installer = Installer::open("/srv/weave".as_ref())
//!     .map_err(|failure| failure.message)?
//!     .with("warm-up".parse()?, Place::Before("switch".parse()?), warm_up());
//! let wanted = "stable".parse()?;
//! installer.install(Some(&wanted), None, &output).map_err(|failure| failure.message)?;
//! # Ok(())
//! # }
//! ```

use std::path::Path;
use std::time::Instant;

use cutover_formats::descriptor::{Descriptor, Swap};
use cutover_formats::name::StageName;
use cutover_formats::stage::BuiltIn;
use cutover_formats::version::{Version, Wanted};
use cutover_repository::client::Client;
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::{Exit, Failure, Output};
use jiff::Timestamp;

use crate::audit::Depth;
use crate::configure::stale;
use crate::disk;
use crate::examine::Examined;
use crate::integrity;
use crate::lock::NodeLock;
use crate::node::Node;
use crate::once;
use crate::places::Places;
use crate::plan::{Added, Changeover, Operation, Place, Plan, Renewal, Situation, Wishes, plan};
use crate::receipt::{Outcome, Receipt, StageTime};
use crate::recover::recover;
use crate::rehearse::{self, Rehearsal, rehearse};
use crate::resolve::{Known, Release, resolve_anywhere};
use crate::schema;
use crate::situation;
use crate::stage::{Own, Stage};
use crate::standing::Standings;
use crate::transaction::{Ended, Transaction, Undoing, report, run as transact};
use crate::withdrawn::{self, Withdrawn};

/// A node, and what its installer adds to the stages.
pub struct Installer {
    node: Node,
    own: Vec<Own>,
    depth: Depth,
}

/// When an apply is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewing {
    /// Where something would be rendered otherwise now, or is not as it was rendered.
    WhatChanged,
    /// In any case: the service reads more than what is rendered.
    Anyway,
}

/// Whether a rollback goes to a release that was withdrawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfWithdrawn {
    /// It does not.
    #[default]
    Refuse,
    /// It does.
    Accept,
}

/// What came of an install, a rollback or an apply.
#[derive(Debug)]
pub struct Done {
    /// What was planned.
    pub plan: Plan,
    /// What was done; `None` where nothing was to be done.
    pub receipt: Option<Receipt>,
}

/// A release that is found and a plan for it.
struct Prepared {
    release: Release,
    plan: Plan,
    situation: Situation,
}

impl Installer {
    /// The installer of the node at `root`.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        Ok(Self::of(Node::open(root)?))
    }

    /// The installer of a node, without stages of its own.
    #[must_use]
    pub fn of(node: Node) -> Self {
        Self { node, own: Vec::new(), depth: Depth::default() }
    }

    /// The same with one more stage.
    #[must_use]
    pub fn with(mut self, name: StageName, place: Place, stage: impl Stage + 'static) -> Self {
        self.own.push(Own { name, place, stage: Box::new(stage) });
        self
    }

    /// The same, which looks so closely at a release that is on the node already.
    #[must_use]
    pub fn looking_at(self, depth: Depth) -> Self {
        Self { depth, ..self }
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What an install would do; an error where it would refuse to. Beside fresher metadata in
    /// `state/trust`, nothing changes.
    pub fn plan(
        &self,
        wanted: Option<&Wanted>,
        swap: Option<Swap>,
        output: &Output,
    ) -> Result<Plan, Failure> {
        let places = Places::of(&self.node.settings, output)?;
        let tell = |line: &str| output.warn(line);
        let mirrors = places.mirrors(&tell);
        let release = resolve_wanted(&self.node, &mirrors, wanted, tell)?;
        let prepared = self.prepare(Operation::Install, release, &self.wishes(swap))?;
        self.examined(prepared, Some(&mirrors), output)
    }

    /// Installs what is wanted, or what the node's channel names.
    pub fn install(
        &self,
        wanted: Option<&Wanted>,
        swap: Option<Swap>,
        output: &Output,
    ) -> Result<Done, Failure> {
        let words = wanted.map_or_else(String::new, |wanted| format!(" {wanted}"));
        let _lock = self.lock(&format!("install{words}"), output)?;
        let began = Timestamp::now();
        let clock = Instant::now();
        let places = Places::of(&self.node.settings, output)?;
        let tell = |line: &str| output.warn(line);
        let mirrors = places.mirrors(&tell);
        let release = self.resolve(&mirrors, wanted, output)?;
        let resolved = StageTime {
            stage: BuiltIn::Resolve.name(),
            seconds: clock.elapsed().as_secs_f64(),
            what: format!("{} {}, signed", release.descriptor.product, release.descriptor.version),
        };
        report(output, &resolved);
        let wishes = self.wishes(swap);
        let prepared = self.prepare(Operation::Install, release, &wishes)?;
        self.go(prepared, &wishes, Some(&mirrors), resolved, began, output)
    }

    /// Does an install aside, with the service on a spare address, and sees how it goes: nothing that
    /// runs is touched, and nothing of it stays but fresher metadata, the contents that an install would
    /// fetch and what package builders keep.
    pub fn rehearse(
        &self,
        wanted: Option<&Wanted>,
        swap: Option<Swap>,
        output: &Output,
    ) -> Result<Rehearsal, Failure> {
        let words = wanted.map_or_else(String::new, |wanted| format!(" {wanted}"));
        let _lock = self.lock(&format!("install rehearse{words}"), output)?;
        let places = Places::of(&self.node.settings, output)?;
        let tell = |line: &str| output.warn(line);
        let mirrors = places.mirrors(&tell);
        let release = self.resolve(&mirrors, wanted, output)?;
        let situation = situation::of(&self.node)?;
        let wishes = self.wishes(swap);
        rehearse(&self.node, &situation, &release, &wishes, &mirrors, output)
    }

    /// What a rollback would do, to `to` or to what ran before; an error where it would refuse to. Changes
    /// nothing.
    pub fn plan_rollback(
        &self,
        to: Option<&Version>,
        withdrawn: OfWithdrawn,
        swap: Option<Swap>,
        output: &Output,
    ) -> Result<Plan, Failure> {
        let release = self.earlier(to, withdrawn, output)?;
        let prepared = self.prepare(Operation::Rollback, release, &self.wishes(swap))?;
        self.examined(prepared, None, output)
    }

    /// Goes back to a release that is on the node. Needs no repository.
    pub fn rollback(
        &self,
        to: Option<&Version>,
        withdrawn: OfWithdrawn,
        swap: Option<Swap>,
        output: &Output,
    ) -> Result<Done, Failure> {
        let _lock = self.lock("install rollback", output)?;
        let wishes = self.wishes(swap);
        let release = self.earlier(to, withdrawn, output)?;
        let prepared = self.prepare(Operation::Rollback, release, &wishes)?;
        let what = format!("{}, on this node", prepared.plan.to);
        let resolved = StageTime { stage: BuiltIn::Resolve.name(), seconds: 0.0, what };
        self.go(prepared, &wishes, None, resolved, Timestamp::now(), output)
    }

    /// What an apply would do; an error where it would refuse to. Changes nothing.
    pub fn plan_apply(
        &self,
        renewing: Renewing,
        swap: Option<Swap>,
        output: &Output,
    ) -> Result<Plan, Failure> {
        let release = self.running()?;
        let wishes = self.wishes_of_apply(&release, renewing, swap)?;
        self.examined(self.prepare(Operation::Apply, release, &wishes)?, None, output)
    }

    /// Brings the node's values, as they are now, to the release that runs. Needs no repository.
    pub fn apply(
        &self,
        renewing: Renewing,
        swap: Option<Swap>,
        output: &Output,
    ) -> Result<Done, Failure> {
        let _lock = self.lock("install apply", output)?;
        let release = self.running()?;
        let wishes = self.wishes_of_apply(&release, renewing, swap)?;
        let prepared = self.prepare(Operation::Apply, release, &wishes)?;
        let what = format!("{}, which runs", prepared.plan.to);
        let resolved = StageTime { stage: BuiltIn::Resolve.name(), seconds: 0.0, what };
        self.go(prepared, &wishes, None, resolved, Timestamp::now(), output)
    }

    /// Ends an install that a crash cut off: in the new release or in the old.
    pub fn resume(&self, undoing: Undoing, output: &Output) -> Result<Option<Receipt>, Failure> {
        let _lock = self.take("install resume", output)?;
        Ok(recover(&self.node, &self.own, undoing, output)?)
    }

    /// Takes the node's lock and ends what a crash cut off.
    pub fn lock(&self, doing: &str, output: &Output) -> Result<NodeLock, Failure> {
        let lock = self.take(doing, output)?;
        if let Some(receipt) = recover(&self.node, &self.own, Undoing::Must, output)? {
            output.note(match &receipt.outcome {
                Outcome::Done => format!("the node is on {}", receipt.to),
                Outcome::Unchanged { .. } | Outcome::SwitchedBack { .. } => match &receipt.from {
                    Some(from) => format!("the node is on {from} as before"),
                    None => "the node is on no release, as before".to_owned(),
                },
            });
        }
        Ok(lock)
    }

    fn take(&self, doing: &str, output: &Output) -> Result<NodeLock, Failure> {
        for folder in self.node.root.folders() {
            disk::ensure_folder(&folder)?;
        }
        let lock = NodeLock::take(&self.node.root, doing, Timestamp::now())?;
        match rehearse::sweep(&self.node.root) {
            Ok(true) => output.note("a rehearsal was cut off; what was left of it is gone"),
            Ok(false) => {}
            Err(failure) => output.warn(format!(
                "a rehearsal was cut off, and not all that was left of it could be removed: {}; the \
                 next command that changes the node tries it again",
                failure.message
            )),
        }
        Ok(lock)
    }

    /// The plan, if it would not be refused.
    fn examined(
        &self,
        Prepared { release, mut plan, .. }: Prepared,
        mirrors: Option<&Mirrors<'_>>,
        output: &Output,
    ) -> Result<Plan, Failure> {
        let (node, release) = (&self.node, &release);
        plan.contents = Examined { node, plan: &plan, release, mirrors, output }.refuse()?;
        plan.fetch = plan.contents.map_or(plan.fetch, |contents| contents.transfer);
        Ok(plan)
    }

    /// What is wanted, by whoever has the node to itself: what was withdrawn is written down.
    fn resolve(
        &self,
        mirrors: &Mirrors<'_>,
        wanted: Option<&Wanted>,
        output: &Output,
    ) -> Result<Release, Failure> {
        let release = resolve_wanted(&self.node, mirrors, wanted, |line| output.warn(line));
        if let Err(error) = withdrawn::remember(&self.node) {
            output.warn(format!("what was withdrawn is not written down: {error}"));
        }
        release
    }

    fn prepare(
        &self,
        operation: Operation,
        release: Release,
        wishes: &Wishes<'_>,
    ) -> Result<Prepared, Failure> {
        let mut situation = situation::of(&self.node)?;
        let version = &release.descriptor.version;
        let damage = integrity::heed(&self.node, operation, version, &mut situation, self.depth)?;
        let mut plan = plan(operation, &situation, &release.descriptor, wishes)?;
        plan.notes.extend(damage);
        plan.notes.extend(schema::notes(&self.node, &plan, &release.descriptor)?);
        plan.notes.extend(once::notes(&self.node, plan.from.as_ref(), &plan.to)?);
        Ok(Prepared { release, plan, situation })
    }

    /// The release that a rollback goes to.
    fn earlier(
        &self,
        to: Option<&Version>,
        withdrawn: OfWithdrawn,
        output: &Output,
    ) -> Result<Release, Failure> {
        let version = self.destination(to, output)?;
        let (mut known, problems) = withdrawn::known(&self.node);
        for problem in problems {
            output
                .warn(format!("whether {version} was withdrawn may not be known here: {problem}"));
        }
        match (known.remove(&version), withdrawn) {
            (Some(withdrawal), OfWithdrawn::Refuse) => {
                let product = self.node.settings.product.clone();
                Err(Withdrawn { product, version, withdrawal }.into())
            }
            _ => self.stored(&version),
        }
    }

    /// The release that an apply is for.
    fn running(&self) -> Result<Release, Failure> {
        let current = self.node.current()?.ok_or_else(|| {
            Failure::new(Exit::NotFound, "no release is current on this node")
                .hint("nothing was changed; `install VERSION` brings one, with its configuration")
        })?;
        self.stored(&current)
    }

    fn wishes_of_apply(
        &self,
        release: &Release,
        renewing: Renewing,
        swap: Option<Swap>,
    ) -> Result<Wishes<'_>, Failure> {
        let changed = stale::changed(&self.node, &release.descriptor)?;
        let renewal = match renewing {
            _ if !changed.is_empty() => Renewal::Files(changed),
            Renewing::Anyway => Renewal::Wanted,
            Renewing::WhatChanged if self.is_outdated()? => Renewal::Wanted,
            Renewing::WhatChanged => Renewal::Needless,
        };
        Ok(Wishes { renewal, ..self.wishes(swap) })
    }

    /// Whether the service was started with other settings than `[service]` has now.
    fn is_outdated(&self) -> Result<bool, Failure> {
        let Some(mut gate) = situation::gate(&self.node)? else { return Ok(false) };
        let running = gate.status()?.running;
        Ok(running.is_some_and(|running| running.outdated))
    }

    fn wishes(&self, swap: Option<Swap>) -> Wishes<'_> {
        let settings = &self.node.settings;
        let own = self.own.iter().map(|own| Added {
            name: own.name.clone(),
            place: own.place.clone(),
            what: own.stage.plan(),
        });
        Wishes {
            swap: swap.or(settings.service.swap),
            stages: Some(&settings.stage),
            checks: &settings.check,
            program: own.collect(),
            renewal: Renewal::default(),
        }
    }

    fn go(
        &self,
        prepared: Prepared,
        wishes: &Wishes<'_>,
        mirrors: Option<&Mirrors<'_>>,
        resolved: StageTime,
        began: Timestamp,
        output: &Output,
    ) -> Result<Done, Failure> {
        let Prepared { release, plan, situation } = prepared;
        plan.notes.iter().for_each(|note| output.warn(note));
        if plan.changeover == Changeover::None {
            return Ok(Done { plan, receipt: None });
        }
        let transaction = Transaction {
            node: &self.node,
            plan,
            situation,
            wishes,
            release: &release,
            mirrors,
            own: &self.own,
            output,
            resolved,
        };
        let Ended { plan, receipt } = transact(transaction, began)?;
        Ok(Done { plan, receipt: Some(receipt) })
    }

    fn stored(&self, version: &Version) -> Result<Release, Failure> {
        let root = &self.node.root;
        let bytes = disk::read(&root.descriptor(version))?;
        let signed_by = disk::read_json(&root.signed_by(version))?;
        let descriptor: Descriptor = self.node.descriptor(version)?;
        Ok(Release { descriptor, bytes, signed_by })
    }

    fn destination(&self, to: Option<&Version>, output: &Output) -> Result<Version, Failure> {
        let tell = |line: &str| output.warn(line);
        let previous = Standings::load_or_forget(&self.node.root, tell)?.previous;
        let to = to.cloned().or(previous).ok_or_else(|| {
            Failure::new(Exit::NotFound, "no release ran before the one that runs")
                .hint("nothing was changed; `install list` shows what is on this node")
        })?;
        if self.node.sealed()?.contains(&to) {
            return Ok(to);
        }
        Err(Failure::new(Exit::NotFound, format!("{to} is not on this node"))
            .hint(format!("nothing was changed; `install {to}` fetches it from the repository")))
    }
}

/// The release that is asked for, or that the node's channel names, by freshly verified metadata.
pub(crate) fn resolve_wanted(
    node: &Node,
    mirrors: &Mirrors<'_>,
    wanted: Option<&Wanted>,
    tell: impl FnOnce(&str),
) -> Result<Release, Failure> {
    let channel = node.settings.channel.clone().map(Wanted::Channel);
    let wanted = wanted.cloned().or(channel).ok_or_else(|| {
        Failure::new(Exit::Usage, "no version is given, and node.toml follows no channel")
            .hint("give a version, a requirement or a channel: `install 1.1.0`, `install stable`")
    })?;
    let mut client = Client::open_any(mirrors.clone(), node.root.trust(), Timestamp::now())?;
    client.refresh()?;
    let standings = Standings::load_or_forget(&node.root, tell)?;
    let ((seen, _), current) = (withdrawn::known(node), node.current()?);
    let copy = |version: &Version| std::fs::read(node.root.descriptor(version)).ok();
    let (withdrawn, current) = (&seen, current.as_ref());
    let known = Known { standings: &standings, withdrawn, current, copy: &copy };
    Ok(resolve_anywhere(&mut client, &node.settings.product, &wanted, known)?)
}
