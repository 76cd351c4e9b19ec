//! Where a publisher has to put a target: the role that a search would end in.

use std::sync::Arc;

use cutover_formats::tuf::metadata::Verified;
use cutover_formats::tuf::pattern;
use cutover_formats::tuf::search::Edge;
use cutover_formats::tuf::targets::Targets;
use cutover_formats::tuf::verify::RoleKeys;

use super::{Client, TrustError};

/// The role that answers for a path, and who signs for it.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its name; `targets` where nothing is delegated for the path.
    pub role: String,
    /// What it says now.
    pub targets: Arc<Verified<Targets>>,
    /// Who signs for it; `None` for the top-level role.
    pub keys: Option<RoleKeys>,
}

impl Client<'_> {
    /// The role that answers for `target_path`: from the top, always the first that is trusted
    /// with it.
    pub fn owner(&mut self, target_path: &str) -> Result<Owner, TrustError> {
        let hash = pattern::hash(target_path);
        let (source, moment) = self.moment()?;
        let targets = moment.roles.top(&source, &moment.trusted)?;
        let mut owner = Owner { role: "targets".to_owned(), targets, keys: None };
        loop {
            let mut delegated = owner.targets.delegated().iter();
            let Some(child) = delegated.find(|child| child.paths.allow(target_path, &hash)) else {
                return Ok(owner);
            };
            let (role, keys) = (child.name.clone(), Some(child.keys.clone()));
            let delegator = Some(Arc::clone(&owner.targets));
            let edge = Edge { role: role.clone(), delegator };
            let targets = moment.roles.load(&source, &moment.trusted, &edge)?;
            owner = Owner { role, targets, keys };
        }
    }

    /// The bytes of `timestamp.json` as the last refresh received them: what a publisher expects
    /// to replace.
    pub fn timestamp_bytes(&mut self) -> Result<Vec<u8>, TrustError> {
        Ok(self.moment()?.1.timestamp.clone())
    }
}
