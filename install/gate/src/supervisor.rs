//! What runs, and what requests meet because of it.
//!
//! Three places: *running* (requests go there), *newcomer* (started, not yet in use), *retiring*
//! (was running, finishes its requests). After every change [`Supervisor::refresh`] decides anew
//! what requests meet and shows it to the threads that serve.

mod closing;
mod inherit;
mod keeper;
mod leasing;
mod report;
mod succession;
mod verbs;

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
use super::protocol::Maintenance;
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

    /// Ends everything: requests get the backoff answer.
    pub(super) fn close(&self) {
        self.ending.set(true);
        self.refresh();
    }

    /// Whether the gate is ending.
    pub(super) fn ends(&self) -> bool {
        self.ending.get()
    }

    /// Stops every service that is this gate's.
    pub(super) async fn end_all(&self) {
        if self.has_handed_over() {
            return;
        }
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
