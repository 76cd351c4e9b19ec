//! Clients that take their answers slowly: what lies on the way to them has an upper bound.
//!
//! A client that takes nothing at the moment has the gate and the system keep [`HELD`] bytes for it at
//! the most. So it is enough to count the connections that wait so, and only these pay for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cutover_formats::size::Size;

use super::doors;

/// Bytes that lie on the way to one client, about: what the system keeps and cannot send, a piece that
/// is being written, and what has been read of the next from the service.
pub(super) const HELD: u64 = 256 * 1024;

/// Connections whose clients take nothing at the moment.
#[derive(Debug)]
pub(super) struct SlowClients {
    most: u64,
    most_per_client: u64,
    waiting: Mutex<Waiting>,
    ended: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    all: u64,
    each: HashMap<IpAddr, u64>,
}

/// One such connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct SlowClient {
    clients: Arc<SlowClients>,
    address: IpAddr,
}

impl SlowClients {
    /// For so many bytes in all, and of one client; one connection may always wait.
    pub(super) fn new(most: Size, most_per_client: Size) -> Arc<Self> {
        let connections = |size: Size| (size.bytes() / HELD).max(1);
        let (most, most_per_client) = (connections(most), connections(most_per_client));
        Arc::new(Self {
            most,
            most_per_client,
            waiting: Mutex::default(),
            ended: AtomicU64::new(0),
        })
    }

    /// Counts a connection of the client at `address`; `None` where there are too many.
    pub(super) fn wait(self: &Arc<Self>, address: IpAddr) -> Option<SlowClient> {
        let address = doors::key(address);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this = waiting.each.get(&address).copied().unwrap_or_default();
        if waiting.all >= self.most || of_this >= self.most_per_client {
            self.ended.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        waiting.all += 1;
        waiting.each.insert(address, of_this + 1);
        Some(SlowClient { clients: self.clone(), address })
    }

    /// Connections that wait now.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Connections that were ended because there were too many.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for SlowClient {
    fn drop(&mut self) {
        let mut waiting = self.clients.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all -= 1;
        if let Some(count) = waiting.each.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                waiting.each.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_wait_and_so_many_of_one() {
        let clients = SlowClients::new("1MiB".parse().unwrap(), "600KiB".parse().unwrap());
        let wait = |address: &str| clients.wait(address.parse().unwrap());
        let (one, two) = (wait("10.0.0.1"), wait("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some() && wait("10.0.0.1").is_none());
        let others = (wait("2001:db8::1"), wait("2001:db8::2"));
        assert!(others.0.is_some() && others.1.is_some());
        assert!(wait("10.0.0.2").is_none(), "four is all");
        assert_eq!((clients.waiting(), clients.ended()), (4, 2));
        drop((one, two, others));
        assert_eq!(clients.waiting(), 0);
        assert!(clients.waiting.lock().unwrap().each.is_empty());
        let none = SlowClients::new("1".parse().unwrap(), "1".parse().unwrap());
        assert!(none.wait([10, 0, 0, 1].into()).is_some());
    }
}
