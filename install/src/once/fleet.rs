//! A fleet that agrees in etcd.
//!
//! Two keys a stage, below `cutover/once/<product>/<version>/<stage>`: `done` says that it is done and by
//! whom, for good; `running` lives by the lease of whoever is at it. `done` is written before
//! `running` goes away, so who has won `running` and finds no `done` is the one to run.

use std::time::{Duration, Instant};

use cutover_etcd::{Created, Etcd, Held, KeyValue, Lease};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Key, Once, OnceError, Record, Turn, Worked};

/// How long a node that died is waited for before another takes over.
const TTL: Duration = Duration::from_secs(15);

/// How long one look at the winner's key lasts.
const LISTEN: Duration = Duration::from_secs(5);

/// A fleet that agrees in etcd.
pub(super) struct Fleet {
    pub(super) etcd: Etcd,
    pub(super) name: String,
}

/// What `running` says.
#[derive(Serialize, Deserialize)]
struct Running {
    node: String,
    since: Timestamp,
}

/// What is left behind when the work went well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Done,
    Nothing,
}

impl Once for Fleet {
    fn perform(
        &self,
        key: &Key,
        patience: Duration,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError> {
        self.in_turn(key, patience, Leaves::Done, work)
    }

    fn take_back(
        &self,
        key: &Key,
        patience: Duration,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError> {
        self.in_turn(key, patience, Leaves::Nothing, work)
    }
}

impl Fleet {
    /// Does `work` when nobody else is at it and nobody has done it.
    fn in_turn(
        &self,
        key: &Key,
        patience: Duration,
        leaves: Leaves,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError> {
        let Key { product, version, stage } = key;
        let place = format!("cutover/once/{product}/{version}/{stage}");
        let (done, running) = (format!("{place}/done"), format!("{place}/running"));
        let ours = Running { node: self.name.clone(), since: Timestamp::now() };
        let ours = serde_json::to_vec(&ours).expect("a running stage is always JSON");
        let began = Instant::now();
        loop {
            if let Some(record) = self.record(&done)? {
                return Ok(Turn::Done(record));
            }
            let lease = self.etcd.grant(TTL)?;
            match self.etcd.create(&running, &ours, lease.id)? {
                Created::Won => {
                    let turn = self.work(&lease, &done, leaves, work);
                    if let Err(error) = self.etcd.revoke(&lease) {
                        // What was to be done is done, or has failed of something else.
                        tracing::warn!(
                            %error,
                            "cannot give {running} back; it goes by itself within {TTL:?}"
                        );
                    }
                    return turn;
                }
                Created::Lost(winner) => {
                    self.etcd.revoke(&lease)?;
                    if began.elapsed() >= patience {
                        return Err(busy(key, &winner));
                    }
                    self.etcd.wait_for_change(&running, winner.modified, LISTEN)?;
                }
            }
        }
    }

    /// Our turn, with `running` ours as long as the lease lives.
    fn work(
        &self,
        lease: &Lease,
        done: &str,
        leaves: Leaves,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError> {
        if let Some(record) = self.record(done)? {
            return Ok(Turn::Done(record));
        }
        let (worked, held) = self.etcd.while_held(lease, work);
        if held == Held::Lost {
            tracing::warn!(
                "{done}: etcd did not hear of this node for {TTL:?} in between; another may have \
                 begun it, too"
            );
        }
        if worked == Worked::Well && leaves == Leaves::Done {
            self.write(done)?;
        }
        Ok(Turn::Ours)
    }

    fn record(&self, done: &str) -> Result<Option<Record>, OnceError> {
        let Some(found) = self.etcd.get(done)? else { return Ok(None) };
        // One that cannot be understood is one of a later version: it is there, and that counts.
        let unknown = || Record { node: "somebody".to_owned(), done: Timestamp::UNIX_EPOCH };
        Ok(Some(serde_json::from_slice(&found.value).unwrap_or_else(|_| unknown())))
    }

    fn write(&self, done: &str) -> Result<(), OnceError> {
        let record = Record { node: self.name.clone(), done: Timestamp::now() };
        let value = serde_json::to_vec(&record).expect("a record is always JSON");
        Ok(self.etcd.put(done, &value, None)?)
    }
}

fn busy(key: &Key, winner: &KeyValue) -> OnceError {
    let running = serde_json::from_slice(&winner.value).ok();
    let Running { node, since } = running
        .unwrap_or_else(|| Running { node: "somebody".to_owned(), since: Timestamp::UNIX_EPOCH });
    OnceError::Busy { stage: key.stage.clone(), node, since }
}
