//! Looking for a target: through the delegations in pre-order, one role at a time.
//!
//! Threats: a role that vouches for paths it was not trusted with (every delegation on the way must
//! allow the path), circles and floods of delegations (each role is visited once, and only so
//! many), a less trusted role that answers for a more trusted one (order and `terminating` are
//! honoured, and a role on the way that cannot be had is an error, not a detour).
//!
//! The search does no I/O: it says which role it needs, and is given it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::metadata::Verified;
use super::pattern;
use super::refusal::Refusal;
use super::targets::{Target, Targets};

/// Most roles that one search visits.
pub const MOST_ROLES: usize = 32;

/// A role to be loaded, and on whose word.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Its name.
    pub role: String,
    /// The role that delegates to it; `None` for the top-level `targets`.
    pub delegator: Option<Arc<Verified<Targets>>>,
}

/// What a search comes to.
#[derive(Clone, Debug)]
pub enum Step {
    /// This role is needed: load it, then [`Search::supply`] it.
    Need(Edge),
    /// Nobody vouches for the target.
    Absent,
    /// The target, by the word of the most trusted role that speaks of it.
    Found(Target),
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    path: String,
    hash: String,
    /// Roles to visit, the next one last.
    ahead: Vec<Edge>,
    visited: BTreeSet<String>,
    found: Option<Target>,
}

impl Search {
    /// Begins to look for a target; a path that could leave its folder is refused.
    pub fn new(path: &str) -> Result<Self, Refusal> {
        if !is_confined(path) {
            return Err(Refusal::UnsafeTarget { path: path.to_owned() });
        }
        let top = Edge { role: "targets".to_owned(), delegator: None };
        let (path, hash) = (path.to_owned(), pattern::hash(path));
        Ok(Self { path, hash, ahead: vec![top], visited: BTreeSet::new(), found: None })
    }

    /// What to do next.
    pub fn step(&mut self) -> Result<Step, Refusal> {
        if let Some(target) = self.found.take() {
            return Ok(Step::Found(target));
        }
        while let Some(edge) = self.ahead.pop() {
            if self.visited.contains(&edge.role) {
                continue;
            }
            if self.visited.len() == MOST_ROLES {
                return Err(Refusal::TooManyRoles { target: self.path.clone(), cap: MOST_ROLES });
            }
            self.visited.insert(edge.role.clone());
            return Ok(Step::Need(edge));
        }
        Ok(Step::Absent)
    }

    /// The role that was needed.
    pub fn supply(&mut self, role: &Arc<Verified<Targets>>) {
        if let Some(target) = role.targets.get(&self.path) {
            self.found = Some(target.clone());
            return;
        }
        let mut children = Vec::new();
        for child in
            role.delegated().iter().filter(|child| child.paths.allow(&self.path, &self.hash))
        {
            children.push(Edge { role: child.name.clone(), delegator: Some(Arc::clone(role)) });
            if child.terminating {
                self.ahead.clear();
                break;
            }
        }
        self.ahead.extend(children.into_iter().rev());
    }
}

/// Whether a target path stays below the folder of targets, for us and for any other client.
#[must_use]
pub fn is_confined(path: &str) -> bool {
    !path.is_empty()
        && !path.chars().any(char::is_control)
        && !path.contains('\\')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
