//! Where a publisher has to put a target: the role that a search would end in.

use std::sync::Arc;

use cutover_formats::tuf::draft::Need;
use cutover_formats::tuf::key::Keys;
use cutover_formats::tuf::metadata::Verified;
use cutover_formats::tuf::pattern;
use cutover_formats::tuf::search::{Edge, MOST_ROLES};
use cutover_formats::tuf::targets::{DelegatedRole, Targets};
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

/// The role that delegates to another one.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// Its name.
    pub by: String,
    /// What it says now.
    pub delegator: Arc<Verified<Targets>>,
    /// The role it delegates to.
    pub role: DelegatedRole,
}

impl Delegation {
    /// The keys that may sign for the role.
    #[must_use]
    pub fn keys(&self) -> Keys {
        let all = self.delegator.delegations.as_ref().map(|all| &all.keys);
        all.map(|all| Need::new(all, &self.role.keys).keys).unwrap_or_default()
    }
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

    /// Who delegates to a role, looked up by the role's name; `None` for the top-level role and for
    /// names that nobody delegates to.
    ///
    /// Only roles whose name begins that of the wanted one are descended into, as in `releases` and
    /// `releases-0f`: so repositories of ours are laid out.
    pub fn delegation(&mut self, name: &str) -> Result<Option<Delegation>, TrustError> {
        let (source, moment) = self.moment()?;
        let mut by = "targets".to_owned();
        let mut delegator = moment.roles.top(&source, &moment.trusted)?;
        for _ in 0..MOST_ROLES {
            if let Some(role) = delegator.delegated().iter().find(|role| role.name == name) {
                let role = role.clone();
                return Ok(Some(Delegation { by, delegator, role }));
            }
            let begins = |role: &&DelegatedRole| {
                name.strip_prefix(role.name.as_str()).is_some_and(|rest| rest.starts_with('-'))
            };
            let Some(child) = delegator.delegated().iter().find(begins) else { return Ok(None) };
            by.clone_from(&child.name);
            let edge = Edge { role: by.clone(), delegator: Some(Arc::clone(&delegator)) };
            delegator = moment.roles.load(&source, &moment.trusted, &edge)?;
        }
        Ok(None)
    }

    /// The keys that may sign for a delegated role; none where nobody delegates to it.
    pub fn keys(&mut self, name: &str) -> Result<Keys, TrustError> {
        let delegation = self.delegation(name)?;
        Ok(delegation.map(|delegation| delegation.keys()).unwrap_or_default())
    }

    /// What a targets role says now, looked up by its name.
    pub fn role(&mut self, name: &str) -> Result<Option<Arc<Verified<Targets>>>, TrustError> {
        let delegation = self.delegation(name)?;
        let (source, moment) = self.moment()?;
        match delegation {
            None if name == "targets" => moment.roles.top(&source, &moment.trusted).map(Some),
            None => Ok(None),
            Some(Delegation { delegator, .. }) => {
                let edge = Edge { role: name.to_owned(), delegator: Some(delegator) };
                moment.roles.load(&source, &moment.trusted, &edge).map(Some)
            }
        }
    }

    /// The bytes of `timestamp.json` as the last refresh received them: what a publisher expects
    /// to replace.
    pub fn timestamp_bytes(&mut self) -> Result<Vec<u8>, TrustError> {
        Ok(self.moment()?.1.timestamp.clone())
    }
}
