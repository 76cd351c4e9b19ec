//! Clients that take their answers slowly: what lies on the way to them has an upper bound.
//!
//! A client that takes nothing at the moment has the gate and the system keep [`HELD`] bytes for it at
//! the most. So it is enough to count the connections that wait so, and only these pay for it.
//!
//! Every large answer waits for a moment now and then. So where one too many waits, it is not that one
//! which ends, but the one that has waited for longest: of the same client where that has too many, else
//! of the client that has most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use cutover_formats::size::Size;
use cutover_http::client::Client;
use futures_util::task::AtomicWaker;

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
    /// The number of the next: who came first has the smallest.
    next: u64,
    each: HashMap<Client, BTreeMap<u64, Arc<Word>>>,
}

/// How a connection is told to end.
#[derive(Debug, Default)]
struct Word {
    given: AtomicBool,
    task: AtomicWaker,
}

/// One such connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct SlowClient {
    clients: Arc<SlowClients>,
    address: Client,
    number: u64,
    word: Arc<Word>,
}

impl Waiting {
    fn of(&self, address: &Client) -> u64 {
        self.each.get(address).map_or(0, |waiting| waiting.len() as u64)
    }

    /// The client that has most, and among several of these the one that has waited for longest.
    fn greediest(&self) -> Option<Client> {
        let rank =
            |waiting: &BTreeMap<u64, _>| (waiting.len(), Reverse(waiting.keys().next().copied()));
        let greediest = self.each.iter().max_by_key(|(_, waiting)| rank(waiting));
        greediest.map(|(address, _)| *address)
    }

    fn remove(&mut self, address: Client, number: u64) -> Option<Arc<Word>> {
        let waiting = self.each.get_mut(&address)?;
        let word = waiting.remove(&number)?;
        if waiting.is_empty() {
            self.each.remove(&address);
        }
        self.all -= 1;
        Some(word)
    }

    /// Ends the connection of a client that has waited for longest.
    fn end_eldest(&mut self, address: Client) {
        let eldest = self.each.get(&address).and_then(|waiting| waiting.keys().next().copied());
        if let Some(word) = eldest.and_then(|number| self.remove(address, number)) {
            word.given.store(true, Ordering::Release);
            word.task.wake();
        }
    }
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

    /// Counts a connection of the client at `address`; where there are too many, another one ends.
    pub(super) fn wait(self: &Arc<Self>, address: IpAddr) -> SlowClient {
        let address = Client::from(address);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.of(&address) >= self.most_per_client {
            waiting.end_eldest(address);
        }
        if waiting.all >= self.most
            && let Some(greediest) = waiting.greediest()
        {
            waiting.end_eldest(greediest);
        }
        let (number, word) = (waiting.next, Arc::<Word>::default());
        waiting.next += 1;
        waiting.all += 1;
        waiting.each.entry(address).or_default().insert(number, word.clone());
        SlowClient { clients: self.clone(), address, number, word }
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

impl SlowClient {
    /// Whether it is to end, of which `task` is told otherwise; asked no more when it is.
    pub(super) fn is_to_end(&self, task: &Waker) -> bool {
        self.word.task.register(task);
        let given = self.word.given.load(Ordering::Acquire);
        if given {
            self.clients.ended.fetch_add(1, Ordering::Relaxed);
        }
        given
    }
}

impl Drop for SlowClient {
    fn drop(&mut self) {
        let mut waiting = self.clients.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(self.address, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_waited_for_longest_ends() {
        let clients = SlowClients::new("1MiB".parse().unwrap(), "600KiB".parse().unwrap());
        let wait = |address: &str| clients.wait(address.parse().unwrap());
        let ends = |client: &SlowClient| client.is_to_end(Waker::noop());
        let (one, two) = (wait("10.0.0.1"), wait("::ffff:10.0.0.1"));
        let others = (wait("2001:db8::1"), wait("2001:db8::2"));
        assert!(![&one, &two, &others.0, &others.1].into_iter().any(ends), "four is all");
        let honest = wait("10.0.0.2");
        assert!(ends(&one), "of the clients that have most, it was first");
        let more = wait("10.0.0.1");
        assert!(ends(&others.0), "of the client that has most by then");
        let most = (wait("10.0.0.1"), wait("10.0.0.1"));
        assert!(ends(&two) && ends(&more), "two is all of one client");
        assert!(![&others.1, &honest, &most.0, &most.1].into_iter().any(ends));
        assert_eq!((clients.waiting(), clients.ended()), (4, 4));
        drop((one, two, others, honest, more, most));
        assert_eq!(clients.waiting(), 0);
        assert!(clients.waiting.lock().unwrap().each.is_empty());
        let none = SlowClients::new("1".parse().unwrap(), "1".parse().unwrap());
        assert!(!ends(&none.wait([10, 0, 0, 1].into())), "one may always wait");
    }
}
