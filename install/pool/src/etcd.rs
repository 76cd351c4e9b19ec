//! Keys in etcd that a load balancer follows, in the style of conftool.
//!
//! A value is `{"pooled": "yes" | "no" | "inactive", "weight": N}` and whatever else stands in it.
//! Only `pooled` is changed, from `yes` to `no` and back, and only by compare-and-swap: a change
//! that somebody makes in between is seen and kept.

use cutover_etcd::{Etcd, KeyValue, Swapped};
use cutover_formats::node_toml::EtcdPool;
use serde_json::{Map, Value};

use super::{Driver, Places, PoolError};

const IN: &str = "yes";
const OUT: &str = "no";
const WORDS: [&str; 3] = [IN, OUT, "inactive"];

/// How often a swap that loses is tried again.
const TRIES: usize = 10;

/// A node that keys say is pooled or not.
#[derive(Debug)]
pub(super) struct Keys {
    settings: EtcdPool,
    etcd: Etcd,
}

/// Whether a key had to be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Made,
    NotNeeded,
}

impl Keys {
    pub(super) fn new(settings: EtcdPool, etcd: Etcd) -> Self {
        Self { settings, etcd }
    }

    fn find(&self, key: &str) -> Result<KeyValue, PoolError> {
        self.etcd.get(key)?.ok_or_else(|| self.unknown(key, "there is no such key"))
    }

    /// What a key's value says, and how the node stands by it.
    fn parse(&self, found: &KeyValue) -> Result<(Map<String, Value>, String), PoolError> {
        let object = serde_json::from_slice(&found.value).ok();
        let pooled = |object: Map<String, Value>| {
            let pooled = object.get("pooled")?.as_str()?.to_owned();
            WORDS.contains(&pooled.as_str()).then_some((object, pooled))
        };
        object.and_then(pooled).ok_or_else(|| {
            let why = "its value has no \"pooled\" that is \"yes\", \"no\" or \"inactive\"";
            self.unknown(&found.key, why)
        })
    }

    /// Lets a key that says `from` say `to`; one that says something else is left alone.
    fn change(&self, key: &str, from: &str, to: &str) -> Result<Change, PoolError> {
        let mut found = self.find(key)?;
        for _ in 0..TRIES {
            let (mut object, pooled) = self.parse(&found)?;
            if pooled != from {
                return Ok(Change::NotNeeded);
            }
            object.insert("pooled".to_owned(), to.into());
            let value = Value::Object(object).to_string();
            match self.etcd.replace(&found, value.as_bytes())? {
                Swapped::Done => return Ok(Change::Made),
                Swapped::Lost(Some(now)) => found = now,
                Swapped::Lost(None) => return Err(self.unknown(key, "it was removed just now")),
            }
        }
        let why = format!("{key} is changed by others again and again");
        Err(PoolError::Refused { pool: self.etcd.describe(), why })
    }

    fn unknown(&self, key: &str, why: &str) -> PoolError {
        let (pool, name) = (self.etcd.describe(), key.to_owned());
        PoolError::Unknown { pool, name, why: why.to_owned() }
    }

    /// Changes those of our keys where this node `was` in, all that can be: the first error is
    /// told.
    fn change_all(&self, was: &Places, from: &str, to: &str) -> Result<Change, PoolError> {
        let was_in = |key: &&String| was.get(*key).is_some_and(|was| was == IN);
        let keys = self.settings.keys.iter().filter(was_in);
        let results: Vec<_> = keys.map(|key| self.change(key, from, to)).collect();
        let changes: Vec<Change> = results.into_iter().collect::<Result<_, _>>()?;
        Ok(if changes.contains(&Change::Made) { Change::Made } else { Change::NotNeeded })
    }
}

impl Driver for Keys {
    fn describe(&self) -> String {
        format!("{} in {}", self.settings.keys.join(" "), self.etcd.describe())
    }

    fn look(&self) -> Result<Places, PoolError> {
        let look = |key: &String| Ok((key.clone(), self.parse(&self.find(key)?)?.1));
        self.settings.keys.iter().map(look).collect()
    }

    fn is_out(&self, stands: &str) -> bool {
        stands == OUT
    }

    fn take_out(&self, was: &Places) -> Result<(), PoolError> {
        if self.change_all(was, IN, OUT)? == Change::Made {
            std::thread::sleep(self.settings.settle.as_duration());
        }
        Ok(())
    }

    fn put_back(&self, was: &Places) -> Result<(), PoolError> {
        self.change_all(was, OUT, IN).map(drop)
    }
}
