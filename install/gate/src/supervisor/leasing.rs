//! Who may change what runs: an installer that comes, one that ends in order, one that broke off.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cutover_formats::version::Version;

use super::Supervisor;
use crate::identity::Identity;
use crate::protocol::{Fault, SwapFigures};
use crate::view::Wish;

impl Supervisor {
    /// Gives the lease to process `pid`, at the other end `peer`, after what a broken-off install left
    /// has been tidied up.
    pub(crate) async fn begin(&self, pid: u32, peer: Option<Identity>) -> Result<(), Fault> {
        self.lease.free().await?;
        self.shared.tally.longest_wait.store(0, Ordering::Relaxed);
        self.lease.give(pid, peer, self.figures());
        self.outlive_predecessor().await;
        tracing::info!(pid, "an install has the gate");
        Ok(())
    }

    /// Takes the lease back after a swap that was ended in order, and tells what it cost.
    pub(crate) async fn finish(&self) -> SwapFigures {
        self.abandon().await;
        self.wish(Wish::Open);
        self.retire().await;
        let before = self.lease.take_back().map(|holder| holder.before);
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
    pub(crate) async fn reconcile(self: &Rc<Self>) {
        if self.ends() {
            return;
        }
        self.lease.tidy();
        self.withdraw_offer();
        let holder = self.lease.take_back();
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
        self.lease.tidied();
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
