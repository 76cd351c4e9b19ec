//! Maintenance: the site closed on the operator's word, whatever runs behind it.

use std::rc::Rc;
use std::time::Duration;

use cutover_node::maintenance;
use jiff::Timestamp;

use super::Supervisor;
use crate::protocol::{Fault, Maintenance};
use crate::tasks;

/// How often an end of maintenance is looked for at the least, since clocks may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Takes the operator's word, or its end, and remembers it.
    pub(crate) fn maintain(self: &Rc<Self>, wanted: Option<Maintenance>) -> Result<(), Fault> {
        let root = &self.ground.root;
        let kept = match &wanted {
            Some(maintenance) => maintenance::save(root, maintenance),
            None => maintenance::clear(root),
        };
        kept.map_err(|error| {
            Fault::Io(format!("{}: {}", root.maintenance().display(), error.source))
        })?;
        self.obey(wanted);
        Ok(())
    }

    /// Takes the operator's word as remembered.
    pub(crate) fn obey(self: &Rc<Self>, wanted: Option<Maintenance>) {
        self.maintenance.borrow_mut().clone_from(&wanted);
        self.refresh();
        if let Some(Maintenance { until: Some(until), .. }) = wanted {
            let supervisor = self.clone();
            let reopening = async move { supervisor.reopen(wanted, until).await };
            tasks::spawn("what ends maintenance", reopening);
        }
    }

    /// Waits for the end of maintenance, unless another word comes first.
    async fn reopen(self: Rc<Self>, maintenance: Option<Maintenance>, until: Timestamp) {
        while *self.maintenance.borrow() == maintenance {
            let left = Duration::try_from(until.duration_since(Timestamp::now()));
            match left {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_AGAIN)).await,
                _ => {
                    if let Err(fault) = self.maintain(None) {
                        tracing::warn!(%fault, "maintenance has ended");
                        self.obey(None);
                    }
                    return;
                }
            }
        }
    }
}
