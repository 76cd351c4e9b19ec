//! Doing what a plan says: journal first, act second, and back again where a stage fails.
//!
//! Nothing that runs is touched before the change-over begins, so an error up to there only
//! removes what was brought. The rename of `current` is the commit point; an error after it
//! renames it back and returns the gate to the release before.

use std::time::Instant;

use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::FileList;
use cutover_formats::version::Version;
use cutover_repository::store::Read;
use cutover_terminal::{Output, Progress, bytes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit::Inventory;
use crate::build::{BuildError, Builder};
use crate::configure::{ConfigError, Links};
use crate::disk::{self, DiskError, Folder, Permissions};
use crate::fetch::{self, FetchError};
use crate::gate::{ControlError, Session, SwapFigures};
use crate::journal::{Journal, Opening};
use crate::node::{Node, NodeError};
use crate::plan::{Changeover, Plan, Stage, Step};
use crate::prune;
use crate::receipt::{self, Outcome, Receipt, StageTime};
use crate::requires::{self, Lacking};
use crate::resolve::Release;
use crate::standing::Standings;
use crate::swap;
use crate::unpack::{UnpackError, unpack};

/// A stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Preflight.
    #[error(transparent)]
    Lacking(#[from] Lacking),
    /// The contents.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The prefix.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The environment.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The node's own files.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The gate or the service.
    #[error(transparent)]
    Gate(#[from] ControlError),
    /// What is on the node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A file.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl StageError {
    fn explain(&self) -> &dyn Explain {
        match self {
            Self::Lacking(error) => error,
            Self::Fetch(error) => error,
            Self::Unpack(error) => error,
            Self::Build(error) => error,
            Self::Config(error) => error,
            Self::Gate(error) => error,
            Self::Node(error) => error,
            Self::Disk(error) => error,
        }
    }
}

/// An install that did not come to its end, and where that left the node.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {cause}")]
pub struct Failed {
    stage: Stage,
    cause: Box<StageError>,
    left: Left,
}

/// Where a failure left the node.
#[derive(Debug)]
enum Left {
    /// Nothing that runs was touched.
    Untouched(Option<Version>),
    /// The node went back to what ran before.
    WentBack(Option<Version>),
    /// Going back failed too.
    Stranded(Box<StageError>),
}

impl Explain for Failed {
    fn exit(&self) -> Exit {
        match &self.left {
            Left::Untouched(_) => self.cause.explain().exit(),
            Left::WentBack(_) => Exit::CheckFailed,
            Left::Stranded(_) => Exit::Unexpected,
        }
    }

    fn hints(&self) -> Vec<String> {
        let name = |version: &Option<Version>| match version {
            Some(version) => format!("{version} as before"),
            None => "no release, as before".to_owned(),
        };
        let mut hints = self.cause.explain().hints();
        hints.push(match &self.left {
            Left::Untouched(version) => {
                format!("nothing was switched: the node is on {}", name(version))
            }
            Left::WentBack(version) => format!("switched back: the node is on {}", name(version)),
            Left::Stranded(error) => {
                format!("going back failed too ({error}); run `install resume`")
            }
        });
        hints
    }
}

/// What makes a prefix whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The release.
    pub version: Version,
    /// When it was sealed.
    pub sealed: Timestamp,
    /// The signed descriptor's digest.
    pub descriptor: Digest,
}

/// Everything a transaction works with.
pub struct Transaction<'a> {
    /// The node; its lock is held.
    pub node: &'a Node,
    /// What to do.
    pub plan: &'a Plan,
    /// The release, verified.
    pub release: &'a Release,
    /// Where its contents come from; a rollback needs none.
    pub store: Option<&'a dyn Read>,
    /// The gate, if it runs.
    pub gate: Option<Session>,
    /// Who watches.
    pub output: &'a Output,
    /// How long resolving took.
    pub resolved: StageTime,
}

/// What the stages hand on to each other.
struct Progressing<'a> {
    transaction: Transaction<'a>,
    journal: Journal,
    list: Option<FileList>,
    fetched: Option<fetch::Fetched>,
    switched: Switched,
    touched: Touched,
    times: Vec<StageTime>,
}

/// Whether the commit point has been passed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switched {
    No,
    Yes,
}

/// Whether clients have felt anything yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touched {
    No,
    Yes,
}

/// Goes through the plan. On success the receipt; on failure the node is where [`Failed`] says,
/// and a receipt of that is kept as well.
pub fn run(transaction: Transaction<'_>, now: Timestamp) -> Result<Receipt, Failed> {
    let plan = transaction.plan;
    let opening = Opening {
        id: receipt::id(now, &plan.to),
        operation: plan.operation,
        from: plan.from.clone(),
        to: plan.to.clone(),
        began: now,
    };
    let unopened = |cause: StageError| {
        let left = Left::Untouched(plan.from.clone());
        Failed { stage: Stage::Resolve, cause: Box::new(cause), left }
    };
    let journal =
        Journal::open(&transaction.node.root, &opening).map_err(|error| unopened(error.into()))?;
    let times = vec![transaction.resolved.clone()];
    let mut progressing = Progressing {
        transaction,
        journal,
        list: None,
        fetched: None,
        switched: Switched::No,
        touched: Touched::No,
        times,
    };
    let outcome = progressing.go();
    progressing.end(&opening, outcome)
}

impl Progressing<'_> {
    fn go(&mut self) -> Result<(), (Stage, StageError)> {
        if let Some(gate) = &mut self.transaction.gate {
            gate.begin().map_err(|error| (Stage::Resolve, error.into()))?;
        }
        self.announce().map_err(|error| (Stage::Resolve, error))?;
        let steps = &self.transaction.plan.steps;
        for (index, step) in steps.iter().enumerate() {
            let stage = step.stage;
            self.step(step).map_err(|error| (stage, error))?;
            let brings = |step: &Step| step.stage < Stage::Hold;
            let was_last = steps.get(index + 1).is_none_or(|next| !brings(next));
            if self.list.is_some() && brings(step) && was_last {
                self.seal().map_err(|error| (stage, error))?;
            }
        }
        Ok(())
    }

    /// Before a swap that clients will feel, good answers say how long it usually takes, so that
    /// load falls before it begins.
    fn announce(&mut self) -> Result<(), StageError> {
        let (Changeover::Hold | Changeover::Backoff) = self.transaction.plan.changeover else {
            return Ok(());
        };
        let seconds = receipt::usual_dark(&self.transaction.node.root)?.unwrap_or(1);
        if let Some(gate) = &mut self.transaction.gate {
            gate.announce(seconds)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), StageError> {
        if step.stage == Stage::Settle {
            return Ok(());
        }
        self.journal.stage(step.stage)?;
        let began = Instant::now();
        let what = self.act(step.stage)?.unwrap_or_else(|| step.what.clone());
        let time = StageTime { stage: step.stage, seconds: began.elapsed().as_secs_f64(), what };
        report(self.transaction.output, &time);
        self.times.push(time);
        Ok(())
    }

    /// Does a stage; says what was done where the plan could not know.
    fn act(&mut self, stage: Stage) -> Result<Option<String>, StageError> {
        let to = &self.transaction.plan.to;
        match stage {
            Stage::Requires => self.check_requirements().map(|()| None),
            Stage::Fetch => self.fetch().map(Some),
            Stage::Verify => self.verify().map(|()| None),
            Stage::Unpack => self.unpack().map(|()| None),
            Stage::Build => self.build().map(Some),
            Stage::Configure => self.configure().map(|()| None),
            Stage::Hold => self.gate(Session::hold),
            Stage::Backoff => self.gate(Session::backoff),
            Stage::Stop => self.gate(|gate| gate.stop_running().map(drop)),
            Stage::Start => {
                let to = to.clone();
                self.gate(move |gate| gate.start(&to))
            }
            Stage::Health => self.gate(|gate| gate.wait_healthy().map(drop)),
            Stage::Switch => self.switch().map(|()| None),
            Stage::Open => self.gate(|gate| gate.promote().and_then(|()| gate.open())),
            Stage::Drain => self.gate(|gate| gate.retire().map(drop)),
            Stage::Resolve | Stage::Settle => Ok(None),
        }
    }

    fn gate(
        &mut self,
        act: impl FnOnce(&mut Session) -> Result<(), ControlError>,
    ) -> Result<Option<String>, StageError> {
        if let Some(gate) = &mut self.transaction.gate {
            self.touched = Touched::Yes;
            act(gate)?;
        }
        Ok(None)
    }

    fn check_requirements(&self) -> Result<(), StageError> {
        let (root, release) = (&self.transaction.node.root, &self.transaction.release.descriptor);
        requires::check_things(root, release)?;
        if self.transaction.plan.fetch > 0 {
            requires::check_space(root, release)?;
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<String, StageError> {
        let Some(store) = self.transaction.store else { return Ok("from nowhere".to_owned()) };
        let (root, release) = (&self.transaction.node.root, &self.transaction.release.descriptor);
        let progress = Progress::bytes("fetch", release.bundle().size);
        let fetched = fetch::bundle(store, root, release, &|count| progress.add(count))?;
        let what = format!("{} of {}", bytes(fetched.transferred), bytes(release.bundle().size));
        self.fetched = Some(fetched);
        Ok(what)
    }

    /// The bundle was hashed as it came; here the list of what must come out of it is verified
    /// and the release put on record.
    fn verify(&mut self) -> Result<(), StageError> {
        let Some(store) = self.transaction.store else { return Ok(()) };
        let (root, release) = (&self.transaction.node.root, self.transaction.release);
        let (list, bytes) = fetch::file_list(store, &release.descriptor)?;
        Links::plan(root, &release.descriptor, &list)?;
        let version = &release.descriptor.version;
        disk::ensure_folder(&root.record(version))?;
        disk::write_file(&root.descriptor(version), &release.bytes, Permissions::Plain)?;
        disk::write_file(&root.file_list(version), &bytes, Permissions::Plain)?;
        self.list = Some(list);
        Ok(())
    }

    fn unpack(&mut self) -> Result<(), StageError> {
        let (Some(list), Some(fetched)) = (&self.list, &self.fetched) else { return Ok(()) };
        let prefix = self.transaction.node.root.prefix(&self.transaction.plan.to);
        disk::remove_tree(&prefix)?;
        let progress = Progress::bytes("unpack", list.bytes());
        unpack(list, &fetched.path, &prefix, &|count| progress.add(count))?;
        Ok(())
    }

    fn build(&mut self) -> Result<String, StageError> {
        let root = &self.transaction.node.root;
        let to = &self.transaction.plan.to;
        let Some(python) = &self.transaction.release.descriptor.python else {
            return Ok("nothing to build".to_owned());
        };
        let prefix = root.prefix(to);
        let builder = Builder::find();
        builder.build(root, &prefix, python)?;
        disk::write_json(&root.built(to), &Inventory::take(&prefix, &python.env)?)?;
        Ok(format!("{} by {}", python.env, builder.name()))
    }

    fn configure(&mut self) -> Result<(), StageError> {
        let Some(list) = &self.list else { return Ok(()) };
        let root = &self.transaction.node.root;
        let links = Links::plan(root, &self.transaction.release.descriptor, list)?;
        links.make(&Folder::open(&root.prefix(&self.transaction.plan.to))?)?;
        Ok(())
    }

    /// From here on the prefix is whole: all that is in it is on disk before the seal is.
    fn seal(&self) -> Result<(), StageError> {
        let root = &self.transaction.node.root;
        let version = &self.transaction.plan.to;
        Folder::open(&root.prefix(version))?.sync_file_system()?;
        let seal = Seal {
            version: version.clone(),
            sealed: Timestamp::now(),
            descriptor: Digest::of(&self.transaction.release.bytes),
        };
        disk::write_json(&root.seal(version), &seal)?;
        if let Some(fetched) = &self.fetched {
            disk::remove_file(&fetched.path)?;
        }
        Ok(())
    }

    fn switch(&mut self) -> Result<(), StageError> {
        // Set first: if the rename's own sync fails, the link may name either release.
        self.switched = Switched::Yes;
        let plan = self.transaction.plan;
        swap::point_current(&self.transaction.node.root, Some(&plan.to))?;
        if plan.changeover == Changeover::BlueGreen {
            self.gate(Session::promote)?;
            self.gate(Session::open)?;
        }
        Ok(())
    }

    fn end(
        mut self,
        opening: &Opening,
        outcome: Result<(), (Stage, StageError)>,
    ) -> Result<Receipt, Failed> {
        match outcome {
            Ok(()) => self.settle(opening).map_err(|cause| Failed {
                stage: Stage::Settle,
                cause: Box::new(cause),
                left: Left::Untouched(Some(opening.to.clone())),
            }),
            Err((stage, cause)) => Err(self.go_back(opening, stage, cause)),
        }
    }

    fn settle(&mut self, opening: &Opening) -> Result<Receipt, StageError> {
        let began = Instant::now();
        self.journal.stage(Stage::Settle)?;
        let figures = self.transaction.gate.take().map(|mut gate| gate.finish()).transpose()?;
        let node = self.transaction.node;
        let mut standings = Standings::load(&node.root)?;
        let now = Timestamp::now();
        standings.switched(&opening.to, opening.from.as_ref(), now);
        standings.save(&node.root)?;
        prune::prune(node, &standings)?;
        let (stage, seconds) = (Stage::Settle, began.elapsed().as_secs_f64());
        self.times.push(StageTime { stage, seconds, what: "settled".to_owned() });
        let receipt = self.receipt(opening, Outcome::Done, figures);
        receipt.keep(&node.root)?;
        crate::journal::clear(&node.root)?;
        Ok(receipt)
    }

    fn receipt(&self, opening: &Opening, outcome: Outcome, gate: Option<SwapFigures>) -> Receipt {
        Receipt {
            id: opening.id.clone(),
            operation: opening.operation,
            product: self.transaction.plan.product.clone(),
            from: opening.from.clone(),
            to: opening.to.clone(),
            began: opening.began,
            ended: Timestamp::now(),
            outcome,
            descriptor: Some(Digest::of(&self.transaction.release.bytes)),
            fetched: self.fetched.as_ref().map_or(0, |fetched| fetched.transferred),
            stages: self.times.clone(),
            gate,
            resumed: false,
        }
    }

    /// Undoes what was done; the caller's error says where that left the node.
    fn go_back(&mut self, opening: &Opening, stage: Stage, cause: StageError) -> Failed {
        let reason = format!("{stage}: {cause}");
        let before = opening.from.clone();
        let left = match self.undo(opening, &reason, &cause) {
            Err(error) => Left::Stranded(Box::new(error)),
            Ok(()) if self.switched == Switched::Yes || self.touched == Touched::Yes => {
                Left::WentBack(before)
            }
            Ok(()) => Left::Untouched(before),
        };
        Failed { stage, cause: Box::new(cause), left }
    }

    fn undo(
        &mut self,
        opening: &Opening,
        reason: &str,
        cause: &StageError,
    ) -> Result<(), StageError> {
        let node = self.transaction.node;
        self.journal.back()?;
        if self.switched == Switched::Yes {
            swap::point_current(&node.root, opening.from.as_ref())?;
        }
        let figures = self.return_gate(opening.from.as_ref())?;
        if matches!(cause, StageError::Gate(error) if error.exit() == Exit::CheckFailed) {
            let mut standings = Standings::load(&node.root)?;
            standings.failed(&opening.to, reason, Timestamp::now());
            standings.save(&node.root)?;
        }
        prune::remove_unsealed(node)?;
        let reason = reason.to_owned();
        let outcome = match self.switched {
            Switched::Yes => Outcome::SwitchedBack { reason },
            Switched::No => Outcome::Unchanged { reason },
        };
        self.receipt(opening, outcome, figures).keep(&node.root)?;
        crate::journal::clear(&node.root)?;
        Ok(())
    }

    /// The gate as it was. One that was lost in the middle returns to `current` by itself.
    fn return_gate(&mut self, before: Option<&Version>) -> Result<Option<SwapFigures>, StageError> {
        let Some(mut session) = self.transaction.gate.take() else { return Ok(None) };
        if self.touched == Touched::No {
            // Not even the lease may have been had.
            return Ok(session.finish().ok());
        }
        let returned = match before {
            Some(version) => swap::return_to(session, version),
            None => session.abandon().and_then(|()| session.finish()),
        };
        match returned {
            Err(ControlError::Lost { .. }) => Ok(None),
            returned => Ok(returned.map(Some)?),
        }
    }
}

/// A line about a stage that is over.
pub fn report(output: &Output, time: &StageTime) {
    let StageTime { stage, seconds, what } = time;
    output.note(format!("{stage:<9} {seconds:>7.2} s  {what}"));
}
