//! `root`: who signs for the top-level roles.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::fields::Malformed;
use super::json::{Json, Object};
use super::key::{Keys, keys_to_json, parse_keys};
use super::metadata::{Head, Signed, merged};
use super::names::TOP_LEVEL;
use super::verify::{Role, RoleKeys};

/// The signed part of `root.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Version and expiry.
    pub head: Head,
    /// Whether file names carry versions and digests.
    pub consistent_snapshot: bool,
    /// All keys of all top-level roles.
    pub keys: Keys,
    /// The four top-level roles.
    pub roles: BTreeMap<String, Role>,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl Root {
    /// Who signs for a top-level role.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&RoleKeys> {
        self.roles.get(name).map(|role| &role.keys)
    }

    /// Whether other keys sign for `role` in `next`: ids do not matter, keys do.
    pub(super) fn rotates(&self, role: &str, next: &Self) -> bool {
        let identities = |root: &Self| root.role(role).map(|role| role.identities(&root.keys));
        identities(self) != identities(next)
    }
}

impl Signed for Root {
    const TYPE: &'static str = "root";

    fn head(&self) -> &Head {
        &self.head
    }

    fn to_json(&self) -> Json {
        let roles = self
            .roles
            .iter()
            .map(|(name, role)| (name.clone(), merged(role.keys.fields(), &role.unknown)));
        let known = [
            ("consistent_snapshot", Json::Bool(self.consistent_snapshot)),
            ("keys", keys_to_json(&self.keys)),
            ("roles", Json::Object(roles.collect())),
        ];
        self.head.with(Self::TYPE, known, &self.unknown)
    }

    fn parse(head: Head, json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::TYPE, json)?;
        let consistent_snapshot = fields.optional_bool("consistent_snapshot")?.unwrap_or(false);
        let keys = parse_keys(fields.fields("keys")?)?;
        let mut roles = BTreeMap::new();
        for (name, json) in fields.fields("roles")?.each() {
            let mut role = Fields::new(format!("root.roles.{name}"), json)?;
            let keys = RoleKeys::parse(&mut role)?;
            roles.insert(name, Role { keys, unknown: role.rest() });
        }
        if roles.len() != TOP_LEVEL.len() || TOP_LEVEL.iter().any(|name| !roles.contains_key(*name))
        {
            return Err(fields.object_to("roles", "are not root, timestamp, snapshot and targets"));
        }
        Ok(Self { head, consistent_snapshot, keys, roles, unknown: fields.rest() })
    }
}
