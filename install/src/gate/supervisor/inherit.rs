//! Going on where an earlier gate was killed, or handed over.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use cutover_formats::version::Version;

use super::Supervisor;
use crate::gate::identity::Record;
use crate::gate::service::Service;

/// How long a service that an earlier gate left may take to show that it is well.
const SHOW: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Goes on with the service of the release that `current` names, where one runs and is well,
    /// and ends all others; where none does, starts it.
    pub(in crate::gate) async fn inherit(self: &Rc<Self>) -> io::Result<()> {
        let current = self.current();
        let mut ending = Vec::new();
        for record in Record::all(&self.ground.root)? {
            let wanted = !self.runs_anything()
                && current.as_ref().is_some_and(|current| current.to_string() == record.version);
            if !(wanted && self.adopt(current.as_ref(), &record).await) {
                let root = self.ground.root.clone();
                ending.push(tokio::task::spawn_local(async move { record.end(&root).await }));
            }
        }
        if self.runs_anything() {
            return Ok(());
        }
        // Two of them at once may be more than the service can bear.
        for ended in ending {
            drop(ended.await);
        }
        match current {
            Some(version) => {
                if let Err(fault) = self.run(&version) {
                    tracing::error!("{fault}");
                }
            }
            None => tracing::info!("nothing is installed yet"),
        }
        self.refresh();
        Ok(())
    }

    async fn adopt(self: &Rc<Self>, current: Option<&Version>, record: &Record) -> bool {
        let Some(Ok(service)) = current.map(|version| Service::load(&self.ground.root, version))
        else {
            return false;
        };
        let Some(process) = service.adopt(&self.ground, record) else { return false };
        match tokio::time::timeout(SHOW, service.wait_healthy(&self.ground)).await {
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => {
                tracing::warn!("{fault}");
                return false;
            }
            Err(_) => {
                tracing::warn!(pid = ?process.pid, "a service that was left behind is not well");
                return false;
            }
        }
        tracing::info!(version = %service.version(), pid = ?process.pid, "going on with a service");
        self.places.borrow_mut().running = Some(service.clone());
        self.keep(service);
        self.refresh();
        true
    }
}
