//! What a rehearsal tells.

use cutover_formats::name::{Product, StageName};
use cutover_formats::version::Version;
use serde::Serialize;

use crate::node::{Node, NodeError};
use crate::plan::{Changeover, GateSituation, Situation};
use crate::receipt::{self, CheckPassed, StageTime};

/// What came of a rehearsal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rehearsal {
    /// The product.
    pub product: Product,
    /// The release.
    pub version: Version,
    /// How an install would change over.
    pub changeover: Changeover,
    /// The stages that were gone through.
    pub stages: Vec<StageTime>,
    /// The checks that were made and held.
    pub checks: Vec<CheckPassed>,
    /// Stages and checks that were not rehearsed.
    pub left_out: Vec<LeftOut>,
    /// How the service did, where it was started.
    pub service: Option<Played>,
    /// How long the site would be dark; `None` where no gate runs or no service was started.
    pub dark: Option<Dark>,
    /// Bytes that came over the wire.
    pub fetched: u64,
    /// What it takes.
    pub disk: DiskUse,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Something that an install does and a rehearsal does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The stage, or the one at which the check stands.
    pub stage: StageName,
    /// The stage's doing, or the check.
    pub what: String,
    /// Why.
    pub why: String,
}

/// How the service did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Played {
    /// Seconds from its start until it was healthy and all checks of that held.
    pub ready: f64,
    /// Bytes of memory that its processes had then, shared pages counted in each.
    pub memory: Option<u64>,
    /// Seconds that it took to end, without requests.
    pub ended: f64,
}

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskUse {
    /// The release's files.
    pub files: u64,
    /// What is built in the prefix.
    pub environment: u64,
    /// What is free.
    pub free: u64,
}

impl DiskUse {
    /// What the release takes.
    #[must_use]
    pub fn stays(&self) -> u64 {
        self.files.saturating_add(self.environment)
    }
}

/// Seconds for which the site would be dark.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dark {
    /// With `blue-green`.
    pub blue_green: f64,
    /// With `hold`.
    pub hold: f64,
    /// With `backoff`.
    pub backoff: f64,
    /// What of it goes into stopping what runs.
    pub stop: Stop,
    /// The median of this node's own last swaps that were felt, in whole seconds.
    pub usual: Option<u64>,
}

/// How long it takes to stop what runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stop {
    /// Seconds.
    pub seconds: f64,
    /// How that is known.
    pub from: StopFrom,
}

/// How it is known how long it takes to stop what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopFrom {
    /// Nothing runs.
    NothingRuns,
    /// The median of this node's last receipts.
    Receipts,
    /// The running release's own limit, which is the most that it can be.
    DrainLimit,
}

impl Dark {
    /// What is to be expected of a newcomer that was `ready` after so many seconds.
    fn expect(ready: f64, stop: Stop, usual: Option<u64>) -> Self {
        let paused = stop.seconds + ready;
        Self { blue_green: 0.0, hold: paused, backoff: paused, stop, usual }
    }
}

/// How long the site would be dark, where a gate serves it.
pub(super) fn dark(
    node: &Node,
    situation: &Situation,
    ready: Option<f64>,
) -> Result<Option<Dark>, NodeError> {
    let (GateSituation::Up { serving }, Some(ready)) = (&situation.gate, ready) else {
        return Ok(None);
    };
    let stop = match (serving, receipt::usual_stop(&node.root)?) {
        (None, _) => Stop { seconds: 0.0, from: StopFrom::NothingRuns },
        (Some(_), Some(seconds)) => Stop { seconds, from: StopFrom::Receipts },
        (Some(version), None) => {
            let service = node.descriptor(version)?.service;
            let limit = service.map(|service| service.drain.as_duration().as_secs_f64());
            Stop { seconds: limit.unwrap_or_default(), from: StopFrom::DrainLimit }
        }
    };
    Ok(Some(Dark::expect(ready, stop, receipt::usual_dark(&node.root)?)))
}
