//! Leases: keys that go away when nobody renews them.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::wire::{Int, Line};
use super::{Etcd, EtcdError};

/// Names a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseId(pub(super) i64);

/// A lease that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// How long it lives without being renewed.
    pub ttl: Duration,
}

/// Whether a lease was held while something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All the time.
    Throughout,
    /// It has, or may have, ended before: somebody else may hold what it stood for.
    Lost,
}

#[derive(Serialize)]
struct Grant {
    #[serde(rename = "TTL")]
    ttl: Int,
}

#[derive(Serialize)]
struct Named {
    #[serde(rename = "ID")]
    id: Int,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "ID")]
    id: Int,
    #[serde(rename = "TTL")]
    ttl: Int,
}

#[derive(Deserialize)]
struct Renewed {
    #[serde(rename = "TTL", default)]
    ttl: Int,
}

#[derive(Deserialize)]
struct Revoked {}

impl Etcd {
    /// A new lease. etcd counts in seconds, and may choose a longer time.
    pub fn grant(&self, ttl: Duration) -> Result<Lease, EtcdError> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        let granted: Granted = self.call("lease/grant", &Grant { ttl: Int(seconds) })?;
        Ok(Lease { id: LeaseId(granted.id.0), ttl: seconds_of(granted.ttl) })
    }

    /// Renews a lease; how long it lives now, or `None` where it has ended.
    pub fn keep_alive(&self, lease: &Lease) -> Result<Option<Duration>, EtcdError> {
        // A stream of one question and one answer.
        let line: Line<Renewed> = self.call("lease/keepalive", &Named { id: Int(lease.id.0) })?;
        Ok(Some(seconds_of(line.result.ttl)).filter(|ttl| !ttl.is_zero()))
    }

    /// Ends a lease, and the keys that live by it. One that has ended already is fine.
    pub fn revoke(&self, lease: &Lease) -> Result<(), EtcdError> {
        match self.call::<Revoked>("lease/revoke", &Named { id: Int(lease.id.0) }) {
            Err(EtcdError::Refused { code, .. }) if code == super::error::code::NOT_FOUND => Ok(()),
            revoked => revoked.map(drop),
        }
    }

    /// Does `work` while the lease is renewed beside it.
    pub fn while_held<T>(&self, lease: &Lease, work: impl FnOnce() -> T) -> (T, Held) {
        let (done, waiting) = mpsc::channel();
        std::thread::scope(|scope| {
            let keeping = scope.spawn(|| self.renew_until(lease, waiting));
            let value = work();
            drop(done);
            (value, keeping.join().unwrap_or(Held::Lost))
        })
    }

    /// Renews a lease three times as often as it must be, until the other end of `done` is dropped.
    fn renew_until(&self, lease: &Lease, done: mpsc::Receiver<()>) -> Held {
        let mut lives_until = Instant::now() + lease.ttl;
        while done.recv_timeout(lease.ttl / 3) == Err(RecvTimeoutError::Timeout) {
            let asked = Instant::now();
            match self.keep_alive(lease) {
                // A lease that has ended does not come back: this one never has.
                Ok(Some(ttl)) => lives_until = asked + ttl,
                Ok(None) => return Held::Lost,
                Err(error) => tracing::warn!(%error, "cannot renew a lease"),
            }
        }
        if Instant::now() < lives_until { Held::Throughout } else { Held::Lost }
    }
}

fn seconds_of(ttl: Int) -> Duration {
    Duration::from_secs(u64::try_from(ttl.0).unwrap_or_default())
}
