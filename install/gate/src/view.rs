//! What requests meet: a *view*, made by the supervisor, replaced as a whole, read by every thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use cutover_formats::node_toml::Gate;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::access_log::AccessLog;
use super::assets::Assets;
use super::doors::Doors;
use super::meter::Meters;
use super::pages::Pages;
use super::protocol::{Maintenance, State};
use super::slow::SlowClients;
use super::tally::Tally;
use super::upstream::Upstream;

/// How often the thread that makes views shows that it goes on.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// For how long it may show nothing and still be believed.
const STILL: Duration = Duration::from_secs(15);

/// Everything that decides over a request.
#[derive(Debug)]
pub(super) struct View {
    /// Where requests go.
    pub(super) way: Way,
    /// A service that answers though the way does not lead to it: for paths that are always open.
    pub(super) beside: Option<Arc<Upstream>>,
    /// What those are told that are sent away.
    pub(super) notice: Notice,
    /// Seconds that good answers tell clients to stay away, before a swap.
    pub(super) announce: Option<u64>,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// To the service.
    Open(Arc<Upstream>),
    /// Nowhere yet; they wait.
    Hold,
    /// Away, with the backoff answer.
    Backoff,
}

/// What the backoff answer is made of.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// Why requests meet what they meet.
    pub(super) reason: Reason,
    /// Since when no service answers.
    pub(super) since: Instant,
    /// When the operator means to open again.
    pub(super) until: Option<Timestamp>,
    /// What the operator has to say.
    pub(super) message: Option<String>,
    /// How long it took the last times.
    pub(super) history: Arc<[Duration]>,
}

/// Why requests meet what they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// All is well.
    Healthy,
    /// The operator closed the site.
    Maintenance,
    /// An installer changes what runs.
    Swap,
    /// The service starts for the first time.
    Starting,
    /// There is no service to start.
    Nothing,
    /// A front end serves the application.
    Elsewhere,
    /// The service ended by itself.
    Down,
    /// The service was stopped for a swap.
    Stopped,
    /// The gate is ending.
    Ending,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "the service is healthy",
            Self::Maintenance => "maintenance",
            Self::Swap => "a swap is under way",
            Self::Starting => "the service is starting",
            Self::Nothing => "no service to run: no release is installed, or it has none",
            Self::Elsewhere => "a front end serves the application",
            Self::Down => "the service is down",
            Self::Stopped => "the service was stopped",
            Self::Ending => "the gate is ending",
        })
    }
}

/// What an installer, or the gate itself, wishes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Requests served.
    Open,
    /// Requests held.
    Hold,
    /// Requests refused.
    Backoff,
}

/// What there is to serve requests with.
#[derive(Clone, Debug)]
pub(super) enum Supply {
    /// Nothing is installed, or what is has no service.
    Nothing,
    /// It is none of the gate's business: `role = "maintenance"`.
    Elsewhere,
    /// It is starting for the first time.
    Starting,
    /// It ended by itself and is being started again.
    Down,
    /// It was stopped for a swap.
    Stopped,
    /// It answers.
    Up(Arc<Upstream>),
}

/// Decides what requests meet, and says why.
pub(super) fn decide(
    wish: Wish,
    supply: &Supply,
    maintenance: Option<&Maintenance>,
) -> (Way, Reason) {
    match (maintenance, wish, supply) {
        (Some(_), _, _) => (Way::Backoff, Reason::Maintenance),
        (None, Wish::Hold, _) => (Way::Hold, Reason::Swap),
        (None, Wish::Backoff, _) => (Way::Backoff, Reason::Swap),
        (None, Wish::Open, Supply::Up(upstream)) => (Way::Open(upstream.clone()), Reason::Healthy),
        (None, Wish::Open, Supply::Starting) => (Way::Hold, Reason::Starting),
        (None, Wish::Open, Supply::Nothing) => (Way::Backoff, Reason::Nothing),
        (None, Wish::Open, Supply::Elsewhere) => (Way::Backoff, Reason::Elsewhere),
        (None, Wish::Open, Supply::Down) => (Way::Backoff, Reason::Down),
        (None, Wish::Open, Supply::Stopped) => (Way::Backoff, Reason::Stopped),
    }
}

impl Way {
    /// The word for it.
    pub(super) fn state(&self) -> State {
        match self {
            Self::Open(_) => State::Open,
            Self::Hold => State::Hold,
            Self::Backoff => State::Backoff,
        }
    }
}

/// What all threads share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The view of the moment.
    pub(super) view: Arc<ArcSwap<View>>,
    /// The operator's settings.
    pub(super) settings: Gate,
    /// Told after each new view; requests that are held listen to it.
    pub(super) changed: Notify,
    /// The texts of the backoff answer.
    pub(super) pages: ArcSwap<Pages>,
    /// Where requests are written down, if anywhere.
    pub(super) access_log: Option<Arc<AccessLog>>,
    /// Files that the gate serves by itself.
    pub(super) assets: Assets,
    /// Answers, by release.
    pub(super) meters: Meters,
    /// Who is let in.
    pub(super) doors: Arc<Doors>,
    /// Who takes answers slowly.
    pub(super) slow: Arc<SlowClients>,
    /// What became of requests that were not simply served.
    pub(super) tally: Arc<Tally>,
    /// Whether the thread that makes views goes on.
    pub(super) heartbeat: Heartbeat,
    waiting: AtomicUsize,
}

/// A sign of life of the thread that makes views: one that is old may be wrong.
#[derive(Debug)]
pub(super) struct Heartbeat {
    began: Instant,
    /// When it beat last, milliseconds after it began.
    last: AtomicU64,
}

impl Heartbeat {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    /// The thread goes on.
    pub(super) fn beat(&self) {
        self.last.store(self.millis(), Ordering::Relaxed);
    }

    /// Whether it went on a moment ago.
    pub(super) fn is_felt(&self) -> bool {
        let since = self.millis().saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(since) < STILL
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A place in the queue of held requests, given back when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    shared: &'a Shared,
    since: Instant,
}

impl Shared {
    /// Shows `view` to all that come from now on, and to those that wait.
    pub(super) fn show(&self, view: View) {
        self.view.store(Arc::new(view));
        self.changed.notify_waiters();
    }

    /// A place in the queue, if there is one.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.settings.hold_queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.tally.held.fetch_add(1, Ordering::Relaxed);
        Some(Place { shared: self, since: Instant::now() })
    }

    /// Requests that are held now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// State of a gate with nothing to serve yet.
    pub(super) fn new(
        settings: Gate,
        pages: Pages,
        access_log: Option<Arc<AccessLog>>,
        lanes: usize,
        view: View,
    ) -> Self {
        let (most, most_per_client) = (settings.max_connections, settings.max_per_client);
        Self {
            pages: ArcSwap::from_pointee(pages),
            access_log,
            assets: Assets::default(),
            meters: Meters::new(lanes),
            doors: Doors::new(lanes, most, most_per_client),
            slow: SlowClients::new(settings.max_unread, settings.max_unread_per_client),
            view: Arc::new(ArcSwap::from_pointee(view)),
            settings,
            changed: Notify::new(),
            tally: Arc::default(),
            heartbeat: Heartbeat::new(),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        let waited = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.tally.longest_wait.fetch_max(waited, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Address;
    use cutover_formats::version::Version;

    fn up() -> Supply {
        let address = Address::Unix("/nowhere".into());
        Supply::Up(Arc::new(Upstream::new(Version::new(1, 0, 0), address, 1)))
    }

    #[test]
    fn a_heart_that_stands_still_is_not_felt() {
        let mut heartbeat = Heartbeat::new();
        assert!(heartbeat.is_felt());
        heartbeat.began = heartbeat.began.checked_sub(2 * STILL).unwrap();
        assert!(!heartbeat.is_felt());
        heartbeat.beat();
        assert!(heartbeat.is_felt());
    }

    #[test]
    fn the_operator_comes_first_then_the_swap_then_the_service() {
        let closed = Maintenance::default();
        let state =
            |wish, supply: Supply, maintenance| decide(wish, &supply, maintenance).0.state();
        assert_eq!(state(Wish::Open, up(), Some(&closed)), State::Backoff);
        assert_eq!(state(Wish::Hold, up(), Some(&closed)), State::Backoff);
        assert_eq!(state(Wish::Hold, up(), None), State::Hold);
        assert_eq!(state(Wish::Backoff, up(), None), State::Backoff);
        assert_eq!(state(Wish::Open, up(), None), State::Open);
        assert_eq!(state(Wish::Open, Supply::Starting, None), State::Hold);
        assert_eq!(state(Wish::Open, Supply::Down, None), State::Backoff);
        assert_eq!(state(Wish::Open, Supply::Nothing, None), State::Backoff);
        assert_eq!(state(Wish::Open, Supply::Stopped, None), State::Backoff);
        assert_eq!(state(Wish::Open, Supply::Elsewhere, None), State::Backoff);
    }
}
