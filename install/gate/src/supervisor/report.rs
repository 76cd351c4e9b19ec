//! What there is to tell: the state of everything, what a swap cost, what is learned from it.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Supervisor;
use crate::history;
use crate::launch::settings;
use crate::process::Process;
use crate::protocol::{GateStatus, Running, SwapFigures};
use crate::service::{Ground, Service};

impl Supervisor {
    /// What happened so far, to be held against later figures.
    pub(crate) fn figures(&self) -> SwapFigures {
        let tally = &self.shared.tally;
        SwapFigures {
            held: tally.held.load(Ordering::Relaxed),
            refused: tally.refused.load(Ordering::Relaxed),
            failed: tally.failed.load(Ordering::Relaxed),
            dark: self.dark.get().total().as_secs_f64(),
            longest_wait: tally.longest_wait.load(Ordering::Relaxed) as f64 / 1e6,
        }
    }

    /// Learns from a swap how long the next one may be dark.
    pub(crate) fn learn(&self, dark: Duration) {
        let learned = history::with(&self.history.borrow(), dark);
        if let Err(error) = history::save(&self.ground.root, &learned) {
            tracing::warn!(%error, "cannot remember how long the swap took");
        }
        *self.history.borrow_mut() = learned;
        self.refresh();
    }

    /// How everything is.
    pub(crate) fn status(&self) -> GateStatus {
        let view = self.shared.view.load();
        let places = self.places.borrow();
        let version =
            |place: &Option<Rc<Service>>| place.as_ref().map(|service| service.version().clone());
        let figures = self.figures();
        let mut requests = self.past.borrow().clone();
        let mut in_flight = 0;
        for upstream in [&places.running, &places.retiring]
            .into_iter()
            .flatten()
            .filter_map(|service| service.upstream())
        {
            *requests.entry(upstream.version.clone()).or_default() += upstream.entered();
            in_flight += upstream.in_flight();
        }
        GateStatus {
            state: view.way.state(),
            reason: view.notice.reason.to_string(),
            listen: self.listen,
            pid: std::process::id(),
            since: self.since,
            running: places.running.as_deref().map(|service| describe(service, &self.ground)),
            newcomer: version(&places.newcomer),
            newcomer_address: places.newcomer.as_deref().and_then(address),
            retiring: version(&places.retiring),
            in_flight,
            waiting: self.shared.waiting() as u64,
            maintenance: self.maintenance.borrow().clone(),
            lease: self.lease.holder(),
            restarts: self.restarts.get(),
            requests,
            refused: figures.refused,
            held: figures.held,
            failed: figures.failed,
        }
    }
}

/// Whether a process of now would be started with other settings; no where that is not known.
fn is_outdated(process: &Process, ground: &Ground) -> bool {
    let now = ground.look().ok().flatten().and_then(|now| settings(&now));
    process.settings.is_some_and(|started| now.is_some_and(|now| now != started))
}

/// Where a live process is reached.
fn address(service: &Service) -> Option<String> {
    let process = service.process().filter(|process| process.exited().is_none());
    process.map(|process| process.launch.address.to_string())
}

fn describe(service: &Service, ground: &Ground) -> Running {
    let process = service.process().filter(|process| process.exited().is_none());
    Running {
        version: service.version().clone(),
        pid: process.as_ref().map(|process| process.pid.as_raw_nonzero().get().unsigned_abs()),
        address: address(service),
        healthy: service.answers(),
        since: process.as_ref().map(|process| process.since),
        outdated: process.as_ref().is_some_and(|process| is_outdated(process, ground)),
        config: process.and_then(|process| process.config),
    }
}
