//! Clients that are there, and how long they may be silent.
//!
//! A client that does not ask keeps a connection; one that sends the head of a request drop by drop
//! does, too. Both are ended after the same time without a request. A thread counts *ticks* for all its
//! connections, and a connection only notes the tick of the moment, so that a request pays for no timer
//! and reads no clock.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::doors::Pass;
use super::headers::Client;

/// How exactly silence is measured.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// One thread's measure of silence.
#[derive(Clone, Debug)]
pub(super) struct Silence {
    /// Ticks since the thread began.
    now: Arc<AtomicU64>,
    /// Ticks that a client may be silent.
    limit: u64,
}

/// A client that is there: kept by its connection, and by what its connection was upgraded to.
#[derive(Debug)]
pub(super) struct Visit {
    /// Who it is.
    pub(super) client: Client,
    /// Its place among the connections.
    _pass: Pass,
    pulse: Arc<Pulse>,
    limit: u64,
}

/// When a client last showed that it is alive. Only one thread ever looks, but what is upgraded has
/// to be fit for any.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    now: Arc<AtomicU64>,
    /// In ticks.
    since: AtomicU64,
    /// Requests that are not answered to their end.
    asking: AtomicU32,
    /// Requests so far.
    asked: AtomicU32,
    /// Whether it may still be sending what nobody will read.
    lingers: AtomicBool,
}

/// A request of a client, from its head on until its answer is handed over.
#[derive(Debug)]
pub(super) struct Asking(Rc<Visit>);

impl Silence {
    /// Clients may be silent for `limit`, and at most two ticks more.
    pub(super) fn of(limit: Duration) -> Self {
        let ticks = limit.as_millis().div_ceil(TICK.as_millis()) + 1;
        Self { now: Arc::default(), limit: u64::try_from(ticks).unwrap_or(u64::MAX) }
    }

    /// The time of a tick has passed.
    pub(super) fn tick(&self) {
        self.now.fetch_add(1, Ordering::Relaxed);
    }
}

impl Visit {
    /// A client that has not asked yet.
    pub(super) fn new(client: Client, pass: Pass, silence: &Silence) -> Self {
        let pulse = Pulse { now: silence.now.clone(), ..Pulse::default() };
        pulse.stir();
        Self { client, _pass: pass, pulse: Arc::new(pulse), limit: silence.limit }
    }

    /// The head of a request has come.
    pub(super) fn ask(self: &Rc<Self>) -> Asking {
        add(&self.pulse.asking, 1);
        add(&self.pulse.asked, 1);
        Asking(self.clone())
    }

    /// Whether it has been silent for too long.
    pub(super) fn is_over(&self) -> bool {
        self.pulse.is_answered() && self.pulse.silent_for() > self.limit
    }

    /// Its pulse, for whoever sees it move.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }
}

impl Pulse {
    /// The client moved: it asked, or took some of its answer.
    pub(super) fn stir(&self) {
        self.since.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether no request waits for its answer or the rest of it.
    pub(super) fn is_answered(&self) -> bool {
        self.asking.load(Ordering::Relaxed) == 0
    }

    /// How many requests there were so far, in wrapping numbers.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What the client has sent is not read to its end: whatever else it sends is taken and thrown away
    /// before the connection is closed, so that it can read what it was told.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// Whether that was said.
    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    fn silent_for(&self) -> u64 {
        self.now.load(Ordering::Relaxed) - self.since.load(Ordering::Relaxed)
    }
}

impl Asking {
    /// Who asks.
    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    /// The client, where it stays for longer than its request.
    pub(super) fn visit(&self) -> Rc<Visit> {
        self.0.clone()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        add(&self.0.pulse.asking, u32::MAX);
        self.0.pulse.stir();
    }
}

/// Only one thread writes.
fn add(number: &AtomicU32, more: u32) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::Doors;

    #[test]
    fn only_clients_that_do_not_ask_are_silent() {
        let silence = Silence::of(4 * TICK);
        let client = [10, 0, 0, 1].into();
        let pass = Doors::new(1, 1, 1).admit(client, 0).unwrap();
        let visit = Rc::new(Visit::new(Client::new(client), pass, &silence));
        let wait = |ticks| (0..ticks).for_each(|_| silence.tick());
        wait(5);
        assert!(!visit.is_over(), "it may have come at the end of a tick");
        let asking = visit.ask();
        wait(100);
        assert!(!visit.is_over(), "a service may think");
        drop(asking);
        wait(3);
        visit.pulse().stir();
        wait(5);
        assert!(!visit.is_over(), "it took some of its answer");
        wait(1);
        assert!(visit.is_over());
    }
}
