//! Going on where an earlier gate was killed, or handed over.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use cutover_formats::version::Version;
use cutover_node::{maintenance, node};
use jiff::Timestamp;

use super::Supervisor;
use crate::identity::{Identity, Record};
use crate::service::Service;
use crate::tasks;

/// How long a service that an earlier gate left may take to show that it is well.
const SHOW: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Goes on with the service of the release that `current` names, where one runs and is well, and
    /// ends all others; where none does, starts it.
    pub(crate) async fn inherit(self: &Rc<Self>) -> io::Result<()> {
        // Whoever found no control socket a moment ago may have turned maintenance off in its file.
        let tell = |words: &str| tracing::error!("{words}");
        self.obey(maintenance::load(&self.ground.root, Timestamp::now(), tell));
        let goes_on = self.runs_anything() || self.go_on().await?;
        let mine = self.places.borrow().running.as_ref().and_then(|running| running.process());
        let mut ending = Vec::new();
        for record in Record::all(&self.ground.root)? {
            let pid = record.service.as_ref().and_then(Identity::pid);
            if mine.as_ref().is_some_and(|mine| Some(mine.pid) == pid) {
                continue;
            }
            let root = self.ground.root.clone();
            let end = async move { record.end(&root).await };
            ending.push(tasks::spawn("what ends services that were left behind", end));
        }
        if goes_on {
            return Ok(());
        }
        // Two of them at once may be more than the service can bear.
        for ended in ending {
            drop(ended.await);
        }
        match self.current() {
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

    /// Goes on with the service of the release that `current` names; false where none is well.
    pub(crate) async fn go_on(self: &Rc<Self>) -> io::Result<bool> {
        let Some(current) = self.current() else { return Ok(false) };
        let mut records = Record::all(&self.ground.root)?;
        records.retain(|record| record.version == current.to_string());
        // An `apply` may have been cut off between two processes of the same release.
        let holds = node::rendering(&self.ground.root, &current).unwrap_or_default();
        records.sort_by_key(|record| record.config != holds);
        for record in records {
            if self.adopt(&current, &record).await {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn adopt(self: &Rc<Self>, current: &Version, record: &Record) -> bool {
        let Ok(service) = Service::load(&self.ground.root, current) else { return false };
        let Some(process) = service.adopt(&self.ground, record) else { return false };
        let shown = tokio::time::timeout(SHOW, service.wait_healthy(&self.ground)).await;
        if let Ok(Err(fault)) = &shown {
            tracing::warn!("{fault}");
        }
        if !matches!(shown, Ok(Ok(_))) {
            tracing::warn!(pid = ?process.pid, "a service that was left behind is not well");
            service.let_go();
            return false;
        }
        tracing::info!(version = %service.version(), pid = ?process.pid, "going on with a service");
        self.places.borrow_mut().running = Some(service.clone());
        self.keep(service);
        self.refresh();
        true
    }
}
