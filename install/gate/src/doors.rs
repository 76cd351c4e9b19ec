//! Who is let in, and on which thread: connections in all, and of one client, have an upper bound.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use cutover_http::client::{Share, Shares};

/// Counts connections, by thread and by client.
#[derive(Debug)]
pub(super) struct Doors {
    most: usize,
    loads: Box<[AtomicUsize]>,
    /// Touched when connections come and go, not by requests.
    clients: Arc<Shares>,
    turned_away: AtomicU64,
}

/// One connection's leave to be there, given back when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    doors: Arc<Doors>,
    _share: Share,
    /// The thread that it belongs to.
    pub(super) lane: usize,
}

impl Doors {
    /// Doors to `lanes` threads.
    pub(super) fn new(lanes: usize, most: usize, most_per_client: usize) -> Arc<Self> {
        let loads = (0..lanes).map(|_| AtomicUsize::new(0)).collect();
        let (clients, turned_away) = (Arc::new(Shares::new(most_per_client)), AtomicU64::new(0));
        Arc::new(Self { most, loads, clients, turned_away })
    }

    /// Lets a client in, to the thread that has the fewest, `lane` where it is no worse than others.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, lane: usize) -> Option<Pass> {
        let has_room = self.open() < self.most;
        let share = has_room.then(|| self.clients.take(peer.into())).flatten();
        let Some(share) = share else {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let least = (0..self.loads.len()).min_by_key(|&other| (self.load(other), other != lane));
        let lane = least.unwrap_or(lane);
        self.loads[lane].fetch_add(1, Ordering::Relaxed);
        Some(Pass { doors: self.clone(), _share: share, lane })
    }

    /// Connections of one thread.
    pub(super) fn load(&self, lane: usize) -> usize {
        self.loads[lane].load(Ordering::Relaxed)
    }

    /// Connections in all.
    pub(super) fn open(&self) -> usize {
        (0..self.loads.len()).map(|lane| self.load(lane)).sum()
    }

    /// Connections that were not let in.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.doors.loads[self.lane].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_so_many_of_one() {
        let doors = Doors::new(2, 4, 2);
        let enter = |client: &str| doors.admit(client.parse().unwrap(), 1);
        let one = enter("::ffff:10.0.0.1").unwrap();
        let _two = enter("10.0.0.1").unwrap();
        assert_eq!((one.lane, doors.load(0), doors.load(1)), (1, 1, 1));
        assert!(enter("10.0.0.1").is_none());
        let _three = enter("2001:db8::1").unwrap();
        let four = enter("2001:db8::2").unwrap();
        assert!(enter("10.0.0.2").is_none(), "four is all");
        drop(four);
        assert!(enter("2001:db8:0:1::1").is_some());
        assert!(enter("2001:db8::ffff").is_some());
        drop(one);
        assert!(enter("10.0.0.1").is_some());
        assert_eq!(doors.turned_away(), 2);
    }
}
