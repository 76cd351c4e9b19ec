//! Steady traffic: clients that ask, wait, and ask again, and a tally of what came back. No answer is
//! retried, none is forgotten.

mod clients;
mod tally;
mod wire;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use clients::Client;
pub use tally::{Event, Outcome, Tally, percentile};

use crate::world::Ending;

/// Clients that do the same.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Whom they ask.
    pub address: SocketAddr,
    /// For what.
    pub client: Client,
    /// How many they are.
    pub connections: usize,
    /// Between an answer and the next question.
    pub pause: Duration,
}

impl Traffic {
    /// `GET path`, by so many clients.
    #[must_use]
    pub fn gets(address: SocketAddr, path: &str, connections: usize, pause: Duration) -> Self {
        Self { address, client: Client::Get(path.to_owned()), connections, pause }
    }

    /// Some of everything that a web service gets to see; the service is the tiny one.
    #[must_use]
    pub fn mixed(address: SocketAddr) -> Vec<Self> {
        let (short, none) = (Duration::from_millis(10), Duration::ZERO);
        let traffic =
            |client: Client, connections, pause| Self { address, client, connections, pause };
        vec![
            traffic(Client::Get("/".to_owned()), 6, short),
            traffic(Client::Pipelined, 2, short * 2),
            traffic(Client::Upload, 2, none),
            traffic(Client::ChunkedUpload, 2, none),
            traffic(Client::Download, 2, none),
            traffic(Client::ChunkedDownload, 2, none),
            traffic(Client::Socket, 1, none),
            traffic(Client::LastingSocket, 1, none),
        ]
    }

    /// Asks while `act` goes on, and some calm time before and after it: what that gave, and the tally
    /// of all connections.
    pub fn beside<T>(&self, calm: Duration, act: impl FnOnce() -> T) -> (T, Tally) {
        let (done, events) = beside(std::slice::from_ref(self), || {
            std::thread::sleep(calm);
            let done = act();
            std::thread::sleep(calm);
            done
        });
        (done, Tally::of(&events))
    }

    fn ask_until(&self, stop: &AtomicBool, events: &Mutex<Vec<Event>>) {
        /// After a refusal or a failure, so that a closed gate is not asked in a circle.
        const AFTER_FAILURE: Duration = Duration::from_millis(20);
        let mut kept = None;
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let mut pause = self.pause;
            self.client.ask(self.address, &mut kept, stop, &mut |outcome| {
                if !matches!(outcome, Outcome::Served { .. }) {
                    pause = pause.max(AFTER_FAILURE);
                }
                let (client, took) = (self.client.name(), began.elapsed());
                let mut events = events.lock().expect("no thread panicked");
                events.push(Event { client, began, took, outcome });
            });
            std::thread::sleep(pause);
        }
    }
}

/// Lets this traffic go on while `act` does: what that gave, and everything that happened. Where `act`
/// panics, the traffic ends, too.
///
/// # Panics
/// Where `act` or a client did.
pub fn beside<T>(traffic: &[Traffic], act: impl FnOnce() -> T) -> (T, Vec<Event>) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| run(traffic, &stop));
        let ending = Ending(&stop);
        let done = act();
        drop(ending);
        (done, asking.join().expect("traffic does not panic"))
    })
}

/// All of this traffic until `stop` is set; everything that happened.
///
/// # Panics
/// Where a client did.
fn run(traffic: &[Traffic], stop: &AtomicBool) -> Vec<Event> {
    let events = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for traffic in traffic {
            for _ in 0..traffic.connections {
                scope.spawn(|| traffic.ask_until(stop, &events));
            }
        }
    });
    events.into_inner().expect("no thread panicked")
}
