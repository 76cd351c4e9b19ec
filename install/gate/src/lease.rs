//! Who may change what runs: one installer at a time, and the gate itself after one that broke off.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cutover_formats::version::Version;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::identity::Identity;
use super::protocol::{Fault, SwapFigures};
use super::supervisor::Supervisor;
use super::view::Wish;

/// How long an installer waits for another: one that was killed a moment ago may not have been
/// noticed yet.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The right to change what runs.
#[derive(Debug, Default)]
pub(super) struct Lease {
    holder: RefCell<Option<Holder>>,
    tidying: Cell<bool>,
    tidied: Notify,
}

#[derive(Debug)]
struct Holder {
    pid: u32,
    /// The process at the other end of the control socket, where this machine knows it.
    peer: Option<Identity>,
    since: Timestamp,
    before: SwapFigures,
}

/// Why the lease is not free.
struct Busy {
    fault: Fault,
    is_dead: bool,
}

impl Lease {
    /// The process that holds it.
    pub(super) fn holder(&self) -> Option<u32> {
        self.holder.borrow().as_ref().map(|holder| holder.pid)
    }

    fn busy(&self) -> Option<Busy> {
        let holder = self.holder.borrow();
        holder.as_ref().map(|holder| Busy {
            fault: Fault::Busy { pid: holder.pid, since: holder.since },
            // Its last call ends by itself, and then the lease is free.
            is_dead: holder.peer.as_ref().is_some_and(|peer| !peer.is_alive()),
        })
    }
}

impl Supervisor {
    /// Gives the lease to process `pid`, at the other end `peer`, after what a broken-off install left
    /// has been tidied up.
    pub(super) async fn begin(&self, pid: u32, peer: Option<Identity>) -> Result<(), Fault> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let tidied = self.lease.tidied.notified();
            if let Some(busy) = self.lease.busy() {
                if Instant::now() >= patience && !busy.is_dead {
                    return Err(busy.fault);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            } else if self.lease.tidying.get() {
                tidied.await;
            } else {
                break;
            }
        }
        self.shared.tally.longest_wait.store(0, Ordering::Relaxed);
        let holder = Holder { pid, peer, since: Timestamp::now(), before: self.figures() };
        *self.lease.holder.borrow_mut() = Some(holder);
        self.outlive_predecessor().await;
        tracing::info!(pid, "an install has the gate");
        Ok(())
    }

    /// Takes the lease back after a swap that was ended in order, and tells what it cost.
    pub(super) async fn finish(&self) -> SwapFigures {
        self.abandon().await;
        self.wish(Wish::Open);
        self.retire().await;
        let before = self.lease.holder.borrow_mut().take().map(|holder| holder.before);
        let (before, after) = (before.unwrap_or_default(), self.figures());
        let figures = SwapFigures {
            held: after.held - before.held,
            refused: after.refused - before.refused,
            failed: after.failed - before.failed,
            dark: (after.dark - before.dark).max(0.0),
            longest_wait: after.longest_wait,
        };
        if let Ok(dark) = Duration::try_from_secs_f64(figures.dark)
            && !dark.is_zero()
        {
            self.learn(dark);
        }
        let SwapFigures { held, refused, failed, dark, .. } = figures;
        tracing::info!(held, refused, failed, dark, "the install gave the gate back");
        figures
    }

    /// After an installer that went away in the middle: back to what `<root>/current` names.
    pub(super) async fn reconcile(self: &Rc<Self>) {
        if self.ends() {
            return;
        }
        self.lease.tidying.set(true);
        self.withdraw_offer();
        let holder = self.lease.holder.borrow_mut().take();
        let current = self.current();
        let (pid, name) =
            (holder.map(|holder| holder.pid), current.as_ref().map(Version::to_string));
        tracing::warn!(pid, current = name, "an install broke off; returning to `current`");
        match &current {
            Some(current) => self.return_to(current).await,
            None => drop(self.stop_running().await),
        }
        self.abandon().await;
        self.wish(Wish::Open);
        self.retire().await;
        self.lease.tidying.set(false);
        self.lease.tidied.notify_waiters();
    }

    /// Has `current` run, by the newcomer where that is it, keeping what runs until it is healthy.
    async fn return_to(self: &Rc<Self>, current: &Version) {
        if self.runs(current) {
            return;
        }
        if !self.runs_anything() && self.newcomer().as_ref() != Some(current) {
            // Nothing is lost by waiting for it in the open: requests are held as at a first start.
            if let Err(fault) = self.run(current) {
                tracing::error!("{fault}");
            }
            return;
        }
        let taken = self.take_over(current).await;
        if let Err(fault) = taken {
            tracing::error!(log = ?fault.log_tail(), "{fault}");
            if !self.runs_anything() {
                self.abandon().await;
                if let Err(fault) = self.run(current) {
                    tracing::error!("{fault}");
                }
            }
        }
    }

    async fn take_over(self: &Rc<Self>, current: &Version) -> Result<(), Fault> {
        if self.newcomer().as_ref() != Some(current) {
            self.start(current).await?;
        }
        self.wait_healthy().await?;
        self.promote().await
    }
}
