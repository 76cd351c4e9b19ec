//! The targets roles of one moment: loaded when they are needed, from the trust store where the
//! copy there still is the right one, else from the repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_formats::tuf::metadata::{Signed as _, Verified};
use cutover_formats::tuf::search::Edge;
use cutover_formats::tuf::targets::Targets;
use cutover_formats::tuf::trusted::{Delegator, Trusted};

use super::{Source, TrustError, caps, path_in};

/// The roles loaded so far, each by the very delegator that vouched for it: what one delegator
/// trusts another one may not.
#[derive(Default)]
pub(super) struct Roles(BTreeMap<(usize, String), Arc<Verified<Targets>>>);

impl Roles {
    /// The top-level `targets`.
    pub(super) fn top(
        &mut self,
        source: &Source<'_>,
        trusted: &Trusted,
    ) -> Result<Arc<Verified<Targets>>, TrustError> {
        let edge = Edge { role: Targets::TYPE.to_owned(), delegator: None };
        self.load(source, trusted, &edge)
    }

    /// The role at the end of `edge`.
    pub(super) fn load(
        &mut self,
        source: &Source<'_>,
        trusted: &Trusted,
        edge: &Edge,
    ) -> Result<Arc<Verified<Targets>>, TrustError> {
        // The address is as good as the delegator: those that were loaded stay in this map.
        let delegator = edge.delegator.as_ref().map_or(0, |arc| Arc::as_ptr(arc).addr());
        let key = (delegator, edge.role.clone());
        if let Some(role) = self.0.get(&key) {
            return Ok(Arc::clone(role));
        }
        let role = Arc::new(load(source, trusted, edge)?);
        self.0.insert(key, Arc::clone(&role));
        Ok(role)
    }
}

fn load(
    source: &Source<'_>,
    trusted: &Trusted,
    edge: &Edge,
) -> Result<Verified<Targets>, TrustError> {
    let role = edge.role.as_str();
    let delegator = edge.delegator.as_deref().map_or(Delegator::Root, Delegator::Role);
    if let Some(stored) = source.folder.read(role, caps::TARGETS)?
        && let Ok(targets) = trusted.role(role, delegator, &stored)
    {
        return Ok(targets);
    }
    let wanted = trusted.wanted(role).map_err(|refusal| {
        let file = format!("{role} of {}", source.mirrors.describe());
        TrustError::Refused { file, refusal }
    })?;
    let path = path_in(trusted.root(), role, wanted.version);
    let cap = wanted.length.unwrap_or(caps::TARGETS).min(caps::TARGETS);
    let (bytes, targets) = source.get(&path, cap, |bytes| trusted.role(role, delegator, bytes))?;
    source.folder.keep(role, &bytes)?;
    Ok(targets)
}
