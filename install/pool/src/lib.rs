//! The pool: the load balancer's view of this node.
//!
//! The `depool` stage takes the node out before anything that clients could feel, `repool` puts it
//! back. A failure or refusal to depool ends the install before the switch; what was depooled is
//! repooled whatever happens after, also by `install resume` after a crash.
//!
//! How the node stood before goes to `state/pool.json` before anything is changed, and the file is
//! removed when all is as it was. A place that was out already (an operator's `inactive`, a server
//! in maintenance) is left out; one that somebody changed meanwhile is left as they wished. So both
//! verbs are idempotent, and a node is depooled as long as the file is there.

mod command;
mod error;
mod etcd;
mod haproxy;
mod memory;
mod ready;
mod running;

use std::fmt;

use cutover_etcd::Etcd;
use cutover_formats::node_toml;
use cutover_node::disk;
use cutover_node::node::Node;

pub use error::PoolError;
pub use memory::{Depooled, Places};

use memory::Memory;
use ready::Ready;
use running::Running;

/// A load balancer, or whatever sends traffic to this node.
pub trait Pool: fmt::Debug {
    /// What and where, in a few words, e.g. `HAProxy /run/haproxy.sock, app/node1`.
    fn describe(&self) -> String;

    /// Takes the node out, and returns when no request is under way any more. May be called again
    /// when it is out: where a load balancer has forgotten (HAProxy does, when it reloads), it is
    /// told again.
    fn depool(&self) -> Result<(), PoolError>;

    /// Puts the node back, once its gate says that it is ready. May be called when it is in, or was
    /// never out.
    fn repool(&self) -> Result<(), PoolError>;
}

/// What a load balancer can be asked and told; [`Member`] knows when.
trait Driver: fmt::Debug {
    /// What and where, in a few words.
    fn describe(&self) -> String;

    /// How this node stands at each place where the pool knows it.
    fn look(&self) -> Result<Places, PoolError>;

    /// Whether a place that stands so is one that [`Driver::take_out`] took out.
    fn is_out(&self, stands: &str) -> bool;

    /// Takes every place out that `was` in, and waits until no request is under way at any.
    fn take_out(&self, was: &Places) -> Result<(), PoolError>;

    /// Puts back what stands as [`Driver::take_out`] left it, to how it `was`.
    fn put_back(&self, was: &Places) -> Result<(), PoolError>;
}

/// This node as a member of its pool.
#[derive(Debug)]
struct Member {
    driver: Box<dyn Driver>,
    memory: Memory,
    ready: Ready,
}

/// The pool that `node.toml` names, if it names one. Nothing is asked of it yet.
pub fn open(node: &Node) -> Result<Option<Box<dyn Pool>>, PoolError> {
    let Some(settings) = &node.settings.pool else { return Ok(None) };
    let driver: Box<dyn Driver> = match settings {
        node_toml::Pool::Haproxy(settings) => Box::new(haproxy::Haproxy::new(settings.clone())),
        node_toml::Pool::Etcd(settings) => {
            let etcd = node.settings.etcd.as_ref().ok_or(PoolError::NoEtcd)?;
            let etcd = Etcd::open(etcd, node.root.path(), &disk::read_careful)?;
            Box::new(etcd::Keys::new(settings.clone(), etcd))
        }
        node_toml::Pool::Command(settings) => Box::new(command::Commands::new(node, settings)),
    };
    let (memory, ready) = (Memory::of(&node.root), Ready::of(node));
    Ok(Some(Box::new(Member { driver, memory, ready })))
}

/// Ends the command of the pool that a killed program left running. The node's lock is held.
pub fn end_left_behind(node: &Node) -> Result<(), PoolError> {
    Ok(Running::of(&node.root).end_left_behind()?)
}

/// Since when this node is depooled, and how it stood before.
pub fn depooled(node: &Node) -> Result<Option<Depooled>, PoolError> {
    Ok(Memory::of(&node.root).recall()?)
}

impl Pool for Member {
    fn describe(&self) -> String {
        self.driver.describe()
    }

    fn depool(&self) -> Result<(), PoolError> {
        let before = self.memory.recall()?;
        let was = was(self.driver.look()?, before.as_ref(), |stands| self.driver.is_out(stands));
        self.memory.keep(before, &was)?;
        self.driver.take_out(&was)
    }

    fn repool(&self) -> Result<(), PoolError> {
        let Some(before) = self.memory.recall()? else { return Ok(()) };
        self.ready.wait()?;
        self.driver.put_back(&before.places)?;
        Ok(self.memory.forget()?)
    }
}

/// How each place was before we touched it: what is remembered, where it still stands as we left
/// it; else how it stands now.
fn was(now: Places, before: Option<&Depooled>, is_out: impl Fn(&str) -> bool) -> Places {
    let remembered = |place: &str| before.and_then(|before| before.places.get(place));
    now.into_iter()
        .map(|(place, stands)| match remembered(&place) {
            Some(before) if is_out(&stands) => {
                let before = before.clone();
                (place, before)
            }
            _ => (place, stands),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_was_is_what_stood_before_we_touched_it() {
        let places = |pairs: &[(&str, &str)]| -> Places {
            pairs.iter().map(|(place, stands)| ((*place).into(), (*stands).into())).collect()
        };
        let is_out = |stands: &str| stands == "no";
        let now = places(&[("a", "no"), ("b", "yes"), ("c", "inactive"), ("d", "no")]);
        assert_eq!(was(now.clone(), None, is_out), now);
        let before = Depooled {
            since: Timestamp::UNIX_EPOCH,
            places: places(&[("a", "yes"), ("b", "no"), ("c", "yes")]),
        };
        // Ours is `a` alone: others were changed meanwhile, or never ours.
        let expected = places(&[("a", "yes"), ("b", "yes"), ("c", "inactive"), ("d", "no")]);
        assert_eq!(was(now, Some(&before), is_out), expected);
    }
}
