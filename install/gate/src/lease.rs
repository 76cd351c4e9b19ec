//! Who may change what runs: one installer at a time, and the gate itself after one that broke off.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::identity::Identity;
use super::protocol::{Fault, SwapFigures};

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

/// Who has it.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// The process at the other end of the control socket, where this machine knows it.
    peer: Option<Identity>,
    since: Timestamp,
    /// What had happened until it came.
    pub(super) before: SwapFigures,
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

    /// Waits until nobody has it, and what a broken-off install left has been tidied up.
    pub(super) async fn free(&self) -> Result<(), Fault> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let tidied = self.tidied.notified();
            if let Some(busy) = self.busy() {
                if Instant::now() >= patience && !busy.is_dead {
                    return Err(busy.fault);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            } else if self.tidying.get() {
                tidied.await;
            } else {
                return Ok(());
            }
        }
    }

    /// Gives it, free as it is, to process `pid`, at the other end `peer`.
    pub(super) fn give(&self, pid: u32, peer: Option<Identity>, before: SwapFigures) {
        let holder = Holder { pid, peer, since: Timestamp::now(), before };
        *self.holder.borrow_mut() = Some(holder);
    }

    /// Takes it back.
    pub(super) fn take_back(&self) -> Option<Holder> {
        self.holder.borrow_mut().take()
    }

    /// Nobody gets it until [`Lease::tidied()`].
    pub(super) fn tidy(&self) {
        self.tidying.set(true);
    }

    /// Whoever waits gets it.
    pub(super) fn tidied(&self) {
        self.tidying.set(false);
        self.tidied.notify_waiters();
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
