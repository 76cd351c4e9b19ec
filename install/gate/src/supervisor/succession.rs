//! Handing over to another gate, and coming after one.

use std::rc::Rc;
use std::time::Duration;

use cutover_formats::version::Version;

use super::Supervisor;
use crate::GateError;
use crate::identity::Identity;
use crate::protocol::{Fault, Outcome};

/// How long the requests may take that a gate still has when another has taken over. Only tunnels and
/// very long answers come near it; an install in the meantime has it hurry.
pub(crate) const LAST_REQUESTS: Duration = Duration::from_secs(600);

impl Supervisor {
    /// Lets nobody change anything any more, and says what there is to hand over.
    pub(crate) async fn offer(&self, pid: u32, peer: Option<Identity>) -> Result<Outcome, Fault> {
        self.begin(pid, peer).await?;
        // Nothing is started from here on that the other would not know of.
        self.on_offer.set(true);
        let running = self.places.borrow().running.clone();
        if let Some(service) = &running {
            service.settled().await;
        }
        let running = running.filter(|service| service.answers());
        let healthy = running.map(|service| service.version().clone());
        Ok(Outcome::Estate { healthy, umask: cutover_node::umask::inherited() })
    }

    /// The other gate has gone away: this one has all that it had on offer, or all that the other had.
    pub(crate) fn withdraw_offer(&self) {
        self.on_offer.set(false);
    }

    /// Lets go of the services, which are another gate's from now on.
    pub(crate) fn hand_over(&self) {
        let places = self.places.borrow();
        for service in [&places.running, &places.newcomer, &places.retiring].into_iter().flatten() {
            service.let_go();
        }
        self.handed_over.set(true);
        self.succession.notify_one();
    }

    /// Lets go of the service that this gate went on with while another one had it, and has it still.
    pub(crate) fn withdraw(&self) {
        for service in self.places.borrow().running.iter() {
            service.let_go();
        }
    }

    /// Whether another gate has taken over.
    pub(crate) fn has_handed_over(&self) -> bool {
        self.handed_over.get()
    }

    /// Comes after another gate, whose service of `healthy` must be found well.
    pub(crate) async fn succeed(
        self: &Rc<Self>,
        healthy: Option<&Version>,
    ) -> Result<(), GateError> {
        // Until the other has left, it is that one's to start anything.
        self.on_offer.set(true);
        let run = self.ground.root.run();
        let goes_on = self.go_on().await.map_err(|why| GateError::at(&run, why))?;
        match healthy {
            // Better no new gate than a service that is ended while it serves.
            Some(version) if !goes_on => Err(GateError::CannotTakeOver(version.clone())),
            _ => Ok(()),
        }
    }

    /// The gate before this one has its last requests ended before their service is.
    pub(crate) async fn outlive_predecessor(&self) {
        let predecessor = self.predecessor.borrow_mut().take();
        if let Some(predecessor) = predecessor {
            predecessor.ended().await;
        }
    }
}
