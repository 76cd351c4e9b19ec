//! etcd, as far as a node needs it: keys that are compared and swapped, leases, and waiting for a
//! key to change.
//!
//! Spoken over the JSON gateway that every etcd 3.4 and later serves beside gRPC: `POST /v3/kv/txn`
//! and the like, with bytes in base64, 64-bit numbers as strings, and what is zero, false or empty
//! left out. Members are asked in turn, beginning with the one that answered last; one that cannot
//! be reached, or has lost the others, is passed over until all of them have had `timeout`. A
//! request whose answer was lost is sent again, so everything here may happen twice: a swap that
//! lost may have lost to itself, and [`Etcd::create`] looks whether it has.

mod error;
mod kv;
mod lease;
mod member;
mod watch;
mod wire;

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cutover_formats::node_toml::{self, EtcdEndpoint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

pub use error::EtcdError;
pub use kv::{Compare, Created, KeyValue, Op, Revision, Swapped, Txn, TxnOutcome};
pub use lease::{Held, Lease, LeaseId};
pub use watch::Waited;

use member::{Files, Login, Trouble};

/// How long one member is waited for; one that is cut off from the others keeps a request for
/// longer than that.
const ANSWER: Duration = Duration::from_secs(3);
/// Between two rounds of all members. An election takes a second or two.
const PAUSE: Duration = Duration::from_millis(200);

/// A cluster. May be used by several threads at once.
#[derive(Debug)]
pub struct Etcd {
    endpoints: Vec<EtcdEndpoint>,
    timeout: Duration,
    client: reqwest::Client,
    login: Option<Login>,
    token: Mutex<Option<String>>,
    answered_last: AtomicUsize,
    /// Last, because what runs in it uses the rest.
    runtime: Runtime,
}

impl Etcd {
    /// The cluster of these settings, whose relative paths are below `folder`. Has `read` read the files
    /// that they name: it knows which links may be followed. Nothing is asked of etcd yet.
    pub fn open(
        settings: &node_toml::Etcd,
        folder: &Path,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, EtcdError> {
        let files = Files { folder, read };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| EtcdError::Setup { what: "a runtime".to_owned(), error })?;
        let login = settings.login.as_ref();
        Ok(Self {
            endpoints: settings.endpoints.clone(),
            timeout: settings.timeout.as_duration(),
            client: member::client(settings, &files)?,
            login: login.map(|login| Login::read(login, settings, &files)).transpose()?,
            token: Mutex::new(None),
            answered_last: AtomicUsize::new(0),
            runtime,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.endpoints.iter().map(EtcdEndpoint::as_str).collect();
        format!("etcd {}", names.join(" "))
    }

    /// Asks one member after the other until one has an answer.
    fn call<A: DeserializeOwned>(
        &self,
        method: &str,
        question: &impl Serialize,
    ) -> Result<A, EtcdError> {
        let began = Instant::now();
        loop {
            let mut tried = Vec::new();
            for at in self.in_turn() {
                match self.runtime.block_on(self.ask(&self.endpoints[at], method, question)) {
                    Ok(answer) => {
                        self.answered_last.store(at, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(Trouble::Here(why)) => {
                        tracing::debug!(endpoint = %self.endpoints[at], %why, "asking the next");
                        tried.push(format!("{}: {why}", self.endpoints[at]));
                    }
                    Err(Trouble::Everywhere(error)) => return Err(error),
                }
            }
            if began.elapsed() >= self.timeout {
                return Err(EtcdError::Unreachable { tried });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.answered_last.load(Ordering::Relaxed), self.endpoints.len());
        (0..count).map(move |at| (first + at) % count)
    }
}
