//! The running service is started again whenever it ends by itself.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Supervisor;
use crate::health;
use crate::service::{Patience, Service};
use crate::tasks;

impl Supervisor {
    /// Starts `service` again whenever it ends by itself.
    pub(super) fn keep(self: &Rc<Self>, service: Rc<Service>) {
        let (supervisor, kept) = (self.clone(), service.clone());
        let task = tasks::spawn("what starts the service again", async move {
            let mut patience = Patience::new();
            if kept.process().is_none() {
                supervisor.attempt(&kept).await;
            }
            loop {
                let healthy = supervisor.watch(&kept).await;
                let pause = patience.next(healthy);
                tracing::info!(version = %kept.version(), ?pause, "starting the service again soon");
                tokio::time::sleep(pause).await;
                supervisor.restarts.set(supervisor.restarts.get() + 1);
                supervisor.attempt(&kept).await;
            }
        });
        *service.keeper.borrow_mut() = Some(task.abort_handle());
    }

    /// Starts a process and shows it to requests once it is healthy.
    async fn attempt(&self, service: &Rc<Service>) {
        if self.ends() || self.on_offer.get() {
            return;
        }
        let started = match service.start(&self.ground).await {
            Ok(()) => service.wait_healthy(&self.ground).await,
            Err(fault) => Err(fault),
        };
        match started {
            Ok(took) => tracing::info!("{} healthy after {took:.1?}", service.version()),
            Err(fault) => {
                tracing::error!(log = ?fault.log_tail(), "{fault}");
                if let Some(process) = service.process() {
                    process.stop().await;
                }
                service.down();
            }
        }
        self.refresh();
    }

    /// Waits for the end of the present process, and ends it where it is stuck; tells how long it
    /// was healthy.
    async fn watch(&self, service: &Rc<Service>) -> Duration {
        let since = Instant::now();
        let (Some(process), Some(_)) = (service.process(), service.upstream()) else {
            return Duration::ZERO;
        };
        let why = tokio::select! {
            exited = process.ended() => exited.to_string(),
            stuck = health::stuck(&process) => stuck,
        };
        let log = process.log_tail();
        tracing::error!(version = %service.version(), ?log, "the service is down: {why}");
        let upstream = service.down();
        self.refresh();
        if let Some(upstream) = upstream {
            upstream.close();
            self.forget(&upstream);
        }
        process.stop().await;
        since.elapsed()
    }
}
