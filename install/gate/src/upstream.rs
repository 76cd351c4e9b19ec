//! A running service as the requests see it: where it is, and how many are with it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cutover_formats::version::Version;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::guard::Guard;

/// Where the gate reaches a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Address {
    /// On the loopback interface.
    Tcp(SocketAddr),
    /// On a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// One process of a release, while requests may go to it.
///
/// Requests are counted per thread, so that threads do not fight over a cache line.
#[derive(Debug)]
pub(super) struct Upstream {
    /// The release.
    pub(super) version: Version,
    /// Where it is.
    pub(super) address: Address,
    /// Connects to it, and to nobody else.
    pub(super) guard: Arc<Guard>,
    /// How long it may think about a request, where that is bounded.
    pub(super) answer_within: Option<Duration>,
    closed: AtomicBool,
    /// Whether what is left in flight is to be broken off, where that can be done.
    cut: watch::Sender<bool>,
    /// Told when a request has left after the last one was let in.
    left: Notify,
    lanes: Box<[Lane]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    in_flight: AtomicU64,
    entered: AtomicU64,
}

impl Upstream {
    /// An upstream that `lanes` threads send requests to.
    pub(super) fn new(version: Version, address: Address, lanes: usize) -> Self {
        let lanes = (0..lanes).map(|_| Lane::default()).collect();
        Self {
            version,
            address,
            guard: Arc::default(),
            answer_within: None,
            closed: AtomicBool::new(false),
            cut: watch::Sender::new(false),
            left: Notify::new(),
            lanes,
        }
    }

    /// One that is connected to by this.
    pub(super) fn guarded_by(self, guard: Arc<Guard>) -> Self {
        Self { guard, ..self }
    }

    /// One that may think about a request for so long.
    pub(super) fn that_answers_within(self, answer_within: Option<Duration>) -> Self {
        Self { answer_within, ..self }
    }

    /// Counts a request in; false where the upstream takes no more.
    ///
    /// The request is counted before `closed` is read, and [`Upstream::close`] writes `closed`
    /// before it reads the counters: one of the two always sees the other, so that no request
    /// slips into a service that is thought to be idle.
    pub(super) fn enter(&self, lane: usize) -> bool {
        self.lanes[lane].in_flight.fetch_add(1, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            self.leave(lane);
            return false;
        }
        self.lanes[lane].entered.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Counts a request out.
    pub(super) fn leave(&self, lane: usize) {
        self.lanes[lane].in_flight.fetch_sub(1, Ordering::SeqCst);
        // As in `enter`: either this sees that it is closed, or whoever closed it that one has left.
        if self.closed.load(Ordering::SeqCst) {
            self.left.notify_one();
        }
    }

    /// Requests that have entered and not left.
    pub(super) fn in_flight(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.in_flight.load(Ordering::SeqCst)).sum()
    }

    /// Requests that ever entered.
    pub(super) fn entered(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.entered.load(Ordering::Relaxed)).sum()
    }

    /// Takes no more requests. Whoever sends them must have been shown another view before.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Ends when what is left in flight is to be broken off. Upgraded connections never end by
    /// themselves while both sides like them.
    pub(super) async fn cut(&self) {
        // The sender lives as long as this does.
        drop(self.cut.subscribe().wait_for(|cut| *cut).await);
    }

    /// Waits until the last request has left, at most `limit`, then cuts what can be cut; tells how
    /// many were left.
    pub(super) async fn drained(&self, limit: Duration) -> u64 {
        let empty = async {
            while self.in_flight() > 0 {
                self.left.notified().await;
            }
        };
        // Whether the limit is over or not, what counts is who is left.
        drop(tokio::time::timeout(limit, empty).await);
        self.cut.send_replace(true);
        self.in_flight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_upstream_takes_no_more() {
        let address = Address::Unix("/nowhere".into());
        let upstream = Upstream::new(Version::new(1, 0, 0), address, 2);
        assert!(upstream.enter(0) && upstream.enter(1));
        upstream.close();
        assert!(!upstream.enter(0));
        upstream.leave(0);
        assert_eq!((upstream.in_flight(), upstream.entered()), (1, 2));
    }

    #[tokio::test]
    async fn the_last_request_is_waited_for_and_no_longer() {
        let upstream = Upstream::new(Version::new(1, 0, 0), Address::Unix("/nowhere".into()), 2);
        assert!(upstream.enter(0) && upstream.enter(1));
        upstream.close();
        let leaving = async {
            for lane in 0..2 {
                tokio::task::yield_now().await;
                // One that comes too late is not taken for the last that left.
                assert!(!upstream.enter(lane));
                upstream.leave(lane);
            }
        };
        let (left, ()) = tokio::join!(upstream.drained(Duration::MAX), leaving);
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn who_stays_beyond_the_limit_is_counted() {
        let upstream = Upstream::new(Version::new(1, 0, 0), Address::Unix("/nowhere".into()), 1);
        assert!(upstream.enter(0));
        upstream.close();
        assert_eq!(upstream.drained(Duration::from_millis(10)).await, 1);
        upstream.cut().await;
    }
}
