//! What runs, and what requests meet because of it: the verbs of a swap, each small.
//!
//! Three places: *running* (requests go there), *newcomer* (started, not yet in use), *retiring*
//! (was running, finishes its requests). After every change [`Supervisor::refresh`] decides anew
//! what requests meet and shows it to the threads that serve.

mod closing;
mod inherit;
mod keeper;
mod report;
mod succession;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_formats::node_toml::Role;
use cutover_formats::version::Version;
use jiff::Timestamp;
use tokio::sync::{Notify, RwLock};

use super::notify::Manager;
use super::process::Process;
use super::protocol::{Fault, Maintenance};
use super::service::{Ground, Service};
use super::succession::{Estate, Predecessor};
use super::upstream::Upstream;
use super::view::{Notice, Reason, Shared, Supply, View, Way, Wish, decide};
use super::{history, lease::Lease};

pub(super) use succession::LAST_REQUESTS;

/// The one that decides what runs.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// What services need.
    pub(super) ground: Ground,
    /// What the serving threads see.
    pub(super) shared: Arc<Shared>,
    /// Who may change what runs.
    pub(super) lease: Lease,
    /// Who started the gate, and wants to be told.
    pub(super) manager: Manager,
    /// What only one gate can have.
    pub(super) estate: Estate,
    /// The gate before this one, while it finishes its last requests.
    pub(super) predecessor: RefCell<Option<Predecessor>>,
    /// Told when another gate has taken over, and when this one should hurry because of that.
    pub(super) succession: Notify,
    /// Where clients knock.
    pub(super) listen: SocketAddr,
    since: Timestamp,
    places: RefCell<Places>,
    wish: Cell<Wish>,
    announce: Cell<Option<u64>>,
    maintenance: RefCell<Option<Maintenance>>,
    ending: Cell<bool>,
    handed_over: Cell<bool>,
    /// Another gate is about to take over.
    on_offer: Cell<bool>,
    dark: Cell<Dark>,
    history: RefCell<Arc<[Duration]>>,
    restarts: Cell<u64>,
    /// The process that was promoted last, and when, until it has proved itself.
    promoted: RefCell<Option<(Rc<Process>, Instant)>>,
    /// Requests given to processes that are gone.
    past: RefCell<BTreeMap<Version, u64>>,
    /// Held for reading while a service that has no place any more is being ended.
    leaving: RwLock<()>,
}

#[derive(Debug, Default)]
struct Places {
    running: Option<Rc<Service>>,
    newcomer: Option<Rc<Service>>,
    retiring: Option<Rc<Service>>,
    /// Whether the running one was taken away for a swap.
    stopped: bool,
}

/// Times during which no service answered.
#[derive(Clone, Copy, Debug)]
struct Dark {
    since: Option<Instant>,
    before: Duration,
}

impl Dark {
    fn total(self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// What a gate shows before it has looked.
pub(super) fn first_view(history: Arc<[Duration]>) -> View {
    View {
        way: Way::Hold,
        beside: None,
        notice: Notice {
            reason: Reason::Starting,
            since: Instant::now(),
            until: None,
            message: None,
            history,
        },
        announce: None,
    }
}

impl Supervisor {
    /// A supervisor with nothing running.
    pub(super) fn new(
        ground: Ground,
        shared: Arc<Shared>,
        estate: Estate,
        listen: SocketAddr,
    ) -> Rc<Self> {
        let history = history::load(&ground.root);
        Rc::new(Self {
            ground,
            shared,
            lease: Lease::default(),
            manager: Manager::of_environment(),
            estate,
            predecessor: RefCell::default(),
            succession: Notify::new(),
            listen,
            since: Timestamp::now(),
            places: RefCell::default(),
            wish: Cell::new(Wish::Open),
            announce: Cell::default(),
            maintenance: RefCell::default(),
            ending: Cell::default(),
            handed_over: Cell::default(),
            on_offer: Cell::default(),
            dark: Cell::new(Dark { since: Some(Instant::now()), before: Duration::ZERO }),
            history: RefCell::new(history),
            restarts: Cell::default(),
            promoted: RefCell::default(),
            past: RefCell::default(),
            leaving: RwLock::default(),
        })
    }

    /// Decides anew what requests meet, and shows it.
    pub(super) fn refresh(&self) {
        let maintenance = self.maintenance.borrow();
        let supply = self.supply();
        let (way, reason) = match self.ending.get() {
            true => (Way::Backoff, Reason::Ending),
            false => decide(self.wish.get(), &supply, maintenance.as_ref()),
        };
        let beside = match (&way, supply) {
            (Way::Hold | Way::Backoff, Supply::Up(upstream)) => Some(upstream),
            _ => None,
        };
        let before = self.shared.view.load();
        let since = self.count_dark(&way, reason);
        if reason != before.notice.reason || way.state() != before.way.state() {
            let running = self.running_name();
            tracing::info!(%running, "{}: {reason}", way.state());
            self.manager.tell(&format!("STATUS={}: {reason} ({running})", way.state()));
        }
        let (until, message) = match &*maintenance {
            Some(maintenance) => (maintenance.until, maintenance.message.clone()),
            None => (None, None),
        };
        let history = self.history.borrow().clone();
        let notice = Notice { reason, since, until, message, history };
        self.shared.show(View { way, beside, notice, announce: self.announce.get() });
    }

    fn supply(&self) -> Supply {
        let places = self.places.borrow();
        match &places.running {
            Some(service) => service.supply(),
            None if self.role() == Role::Maintenance => Supply::Elsewhere,
            None if places.stopped => Supply::Stopped,
            None => Supply::Nothing,
        }
    }

    fn count_dark(&self, way: &Way, reason: Reason) -> Instant {
        let mut dark = self.dark.get();
        // Maintenance is the operator's wish, not a swap's cost; a front end's dark is not seen here.
        let light = matches!(way, Way::Open(_))
            || matches!(reason, Reason::Maintenance | Reason::Elsewhere);
        match (light, dark.since) {
            (true, Some(since)) => {
                dark = Dark { since: None, before: dark.before + since.elapsed() };
            }
            (false, None) => dark.since = Some(Instant::now()),
            _ => {}
        }
        self.dark.set(dark);
        dark.since.unwrap_or_else(Instant::now)
    }

    /// What the installer, or the gate itself, wishes for.
    pub(super) fn wish(&self, wish: Wish) {
        self.wish.set(wish);
        if wish == Wish::Open {
            self.announce.set(None);
        }
        self.refresh();
    }

    /// Requests go to what runs; ends when a service that was promoted a moment ago has stayed
    /// healthy for long enough, or has not.
    pub(super) async fn open(&self) -> Result<(), Fault> {
        self.wish(Wish::Open);
        let running = self.places.borrow().running.clone();
        let promoted = self.promoted.borrow_mut().take();
        match (running, promoted) {
            (Some(running), Some((process, since))) => running.stay_healthy(&process, since).await,
            _ => Ok(()),
        }
    }

    /// Good answers carry `seconds` from now on; zero ends that.
    pub(super) fn announce(&self, seconds: u64) {
        self.announce.set((seconds > 0).then_some(seconds));
        self.refresh();
    }

    /// Starts `version` beside what runs, in place of an earlier newcomer.
    pub(super) async fn start(&self, version: &Version) -> Result<(), Fault> {
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
    pub(super) async fn wait_healthy(&self) -> Result<Duration, Fault> {
        let newcomer = self.places.borrow().newcomer.clone();
        let Some(newcomer) = newcomer else {
            return Err(Fault::OutOfTurn("no newcomer was started".to_owned()));
        };
        let (shared, root) = (self.shared.clone(), self.ground.root.clone());
        // Its pages ask for its assets as soon as it serves.
        let stocking = tokio::task::spawn_blocking(move || shared.assets.restock(&root));
        let (healthy, _) = tokio::join!(newcomer.wait_healthy(&self.ground), stocking);
        healthy
    }

    /// Drains and stops what runs.
    pub(super) async fn stop_running(&self) -> Duration {
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
    pub(super) async fn promote(self: &Rc<Self>) -> Result<(), Fault> {
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
    pub(super) async fn retire(&self) -> Duration {
        let started = Instant::now();
        let retiring = self.places.borrow_mut().retiring.take();
        self.end(retiring).await;
        started.elapsed()
    }

    /// Stops the newcomer.
    pub(super) async fn abandon(&self) {
        let newcomer = self.places.borrow_mut().newcomer.take();
        self.end(newcomer).await;
    }

    /// Runs `version` from nothing, and goes on trying; a gate beside a front end runs nothing.
    pub(super) fn run(self: &Rc<Self>, version: &Version) -> Result<(), Fault> {
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

    /// Ends everything: requests get the backoff answer.
    pub(super) fn close(&self) {
        self.ending.set(true);
        self.refresh();
    }

    /// Whether the gate is ending.
    pub(super) fn ends(&self) -> bool {
        self.ending.get()
    }

    /// Stops every service.
    pub(super) async fn end_all(&self) {
        let (running, newcomer, retiring) = {
            let mut places = self.places.borrow_mut();
            (places.running.take(), places.newcomer.take(), places.retiring.take())
        };
        tokio::join!(self.end(running), self.end(newcomer), self.end(retiring));
        // An install may have had one ended that is not gone yet.
        drop(self.leaving.write().await);
    }

    /// How long requests in flight may take when the gate ends.
    pub(super) fn drain_limit(&self) -> Duration {
        let places = self.places.borrow();
        places.running.as_ref().map_or(Duration::ZERO, |service| service.drain_limit())
    }

    async fn end(&self, service: Option<Rc<Service>>) {
        let Some(service) = service else { return };
        let _leaving = self.leaving.read().await;
        if let Some(upstream) = service.end().await {
            self.forget(&upstream);
        }
    }

    fn forget(&self, upstream: &Upstream) {
        *self.past.borrow_mut().entry(upstream.version.clone()).or_default() += upstream.entered();
    }

    /// Whether `version` runs, healthy or about to be.
    pub(super) fn runs(&self, version: &Version) -> bool {
        self.places.borrow().running.as_ref().is_some_and(|service| service.version() == version)
    }

    /// Whether anything runs.
    pub(super) fn runs_anything(&self) -> bool {
        self.places.borrow().running.is_some()
    }

    /// The newcomer's release.
    pub(super) fn newcomer(&self) -> Option<Version> {
        self.places.borrow().newcomer.as_ref().map(|service| service.version().clone())
    }

    /// The release that `<root>/current` names.
    pub(super) fn current(&self) -> Option<Version> {
        let target = fs::read_link(self.ground.root.current()).ok()?;
        target.file_name()?.to_str()?.parse().ok()
    }

    fn role(&self) -> Role {
        self.shared.settings.role
    }

    fn running_name(&self) -> String {
        let places = self.places.borrow();
        places.running.as_ref().map_or_else(|| "-".to_owned(), |s| s.version().to_string())
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
