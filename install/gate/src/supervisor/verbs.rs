//! The verbs of a swap, each small.

use std::rc::Rc;
use std::time::{Duration, Instant};

use cutover_formats::node_toml::Role;
use cutover_formats::version::Version;

use super::Supervisor;
use crate::protocol::Fault;
use crate::service::Service;
use crate::view::Wish;

impl Supervisor {
    /// What the installer, or the gate itself, wishes for.
    pub(crate) fn wish(&self, wish: Wish) {
        self.wish.set(wish);
        if wish == Wish::Open {
            self.announce.set(None);
        }
        self.refresh();
    }

    /// Requests go to what runs; ends when a service that was promoted a moment ago has stayed
    /// healthy for long enough, or has not.
    pub(crate) async fn open(&self) -> Result<(), Fault> {
        self.wish(Wish::Open);
        let running = self.places.borrow().running.clone();
        let promoted = self.promoted.borrow_mut().take();
        match (running, promoted) {
            (Some(running), Some((process, since))) => running.stay_healthy(&process, since).await,
            _ => Ok(()),
        }
    }

    /// Good answers carry `seconds` from now on; zero ends that.
    pub(crate) fn announce(&self, seconds: u64) {
        self.announce.set((seconds > 0).then_some(seconds));
        self.refresh();
    }

    /// Starts `version` beside what runs, in place of an earlier newcomer.
    pub(crate) async fn start(&self, version: &Version) -> Result<(), Fault> {
        self.abandon().await;
        if self.role() == Role::Maintenance {
            return Err(Fault::OutOfTurn("its role is maintenance: it runs no service".to_owned()));
        }
        if self.ends() {
            return Err(Fault::OutOfTurn("it is ending".to_owned()));
        }
        let root = &self.ground.root;
        let spare = self.places.borrow_mut().retiring.take_if(|retiring| {
            retiring.version() == version && retiring.answers() && retiring.is_configured(root)
        });
        if let Some(spare) = spare {
            // What is to be drained is wanted back: it never stopped to serve.
            self.places.borrow_mut().newcomer = Some(spare);
            return Ok(());
        }
        let service = Service::load(&self.ground.root, version)?;
        // In its place before there is a process: a gate that ends meanwhile has to end that, too.
        self.places.borrow_mut().newcomer = Some(service.clone());
        let started = service.start(&self.ground).await;
        if started.is_err() {
            let is_it = |newcomer: &mut Rc<Service>| Rc::ptr_eq(newcomer, &service);
            self.places.borrow_mut().newcomer.take_if(is_it);
        }
        started
    }

    /// Waits until the newcomer is healthy.
    pub(crate) async fn wait_healthy(&self) -> Result<Duration, Fault> {
        let newcomer = self.places.borrow().newcomer.clone();
        let Some(newcomer) = newcomer else {
            return Err(Fault::OutOfTurn("no newcomer was started".to_owned()));
        };
        let (shared, root) = (self.shared.clone(), self.ground.root.clone());
        // Its pages ask for its assets as soon as it serves.
        let stocking = tokio::task::spawn_blocking(move || shared.assets.restock(&root));
        let (healthy, _) = tokio::join!(newcomer.come_up(&self.ground), stocking);
        healthy
    }

    /// Drains and stops what runs.
    pub(crate) async fn stop_running(&self) -> Duration {
        let started = Instant::now();
        let service = {
            let mut places = self.places.borrow_mut();
            places.stopped = true;
            places.running.take()
        };
        self.refresh();
        self.end(service).await;
        started.elapsed()
    }

    /// The newcomer becomes what runs; what ran retires.
    pub(crate) async fn promote(self: &Rc<Self>) -> Result<(), Fault> {
        let newcomer = self.places.borrow().newcomer.clone();
        let Some(newcomer) = newcomer else {
            return Err(Fault::OutOfTurn("no newcomer was started".to_owned()));
        };
        if !newcomer.answers() {
            return Err(not_healthy(&newcomer));
        }
        let earlier = self.places.borrow_mut().retiring.take();
        self.end(earlier).await;
        let before = {
            let mut places = self.places.borrow_mut();
            places.newcomer = None;
            places.stopped = false;
            let before = places.running.replace(newcomer.clone());
            places.retiring.clone_from(&before);
            before
        };
        if let Some(keeper) = before.as_ref().and_then(|before| before.keeper.borrow_mut().take()) {
            keeper.abort();
        }
        self.keep(newcomer.clone());
        *self.promoted.borrow_mut() = newcomer.process().map(|process| (process, Instant::now()));
        match before {
            Some(before) => tracing::info!(
                "{} healthy, switching from {}",
                newcomer.version(),
                before.version()
            ),
            None => tracing::info!("{} healthy, switching to it", newcomer.version()),
        }
        self.refresh();
        Ok(())
    }

    /// Drains and stops what ran before.
    pub(crate) async fn retire(&self) -> Duration {
        let started = Instant::now();
        let retiring = self.places.borrow_mut().retiring.take();
        self.end(retiring).await;
        started.elapsed()
    }

    /// Stops the newcomer.
    pub(crate) async fn abandon(&self) {
        let newcomer = self.places.borrow_mut().newcomer.take();
        self.end(newcomer).await;
    }

    /// Runs `version` from nothing, and goes on trying; a gate beside a front end runs nothing.
    pub(crate) fn run(self: &Rc<Self>, version: &Version) -> Result<(), Fault> {
        if self.role() == Role::Maintenance {
            self.refresh();
            return Ok(());
        }
        if self.ends() {
            return Err(Fault::OutOfTurn("it is ending".to_owned()));
        }
        let service = Service::load(&self.ground.root, version)?;
        {
            let mut places = self.places.borrow_mut();
            places.running = Some(service.clone());
            places.stopped = false;
        }
        self.keep(service);
        self.refresh();
        Ok(())
    }
}

fn not_healthy(service: &Service) -> Fault {
    let version = service.version().clone();
    match service.process() {
        Some(process) => match process.exited() {
            Some(exited) => Fault::Unhealthy {
                version,
                reason: exited.to_string(),
                log_tail: process.log_tail(),
            },
            None => Fault::OutOfTurn(format!("{version} is not known to be healthy")),
        },
        None => Fault::OutOfTurn(format!("{version} was not started")),
    }
}
