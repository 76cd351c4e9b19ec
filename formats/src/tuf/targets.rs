//! `targets` and the roles it delegates to: digests of files, and who else may vouch for some.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{Fields, Hashes, Malformed, int};
use super::json::{Json, Object};
use super::key::{Keys, keys_to_json, parse_keys};
use super::metadata::{Head, Signed, merged};
use super::names::TOP_LEVEL;
use super::pattern::Paths;
use super::refusal::Refusal;
use super::verify::RoleKeys;
use crate::digest::Digest;

/// A file that metadata vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its length, bytes.
    pub length: u64,
    /// Its digests.
    pub hashes: Hashes,
    /// Whatever the signer wanted to say about it.
    pub custom: Option<Json>,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl Target {
    /// A file of this length and digest.
    #[must_use]
    pub fn new(length: u64, sha256: Digest, custom: Option<Json>) -> Self {
        Self { length, hashes: Hashes::sha256(sha256), custom, unknown: Object::new() }
    }

    /// Refuses `bytes` of other length or digests.
    pub fn check(&self, file: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let found = bytes.len() as u64;
        if found != self.length {
            let (file, expected) = (file.to_owned(), self.length);
            return Err(Refusal::Length { file, expected, found });
        }
        if self.hashes.accept(bytes) {
            Ok(())
        } else {
            Err(Refusal::Digest { file: file.to_owned() })
        }
    }

    fn to_json(&self) -> Json {
        let custom = self.custom.clone().map(|custom| ("custom", custom));
        let known = [("length", int(self.length)), ("hashes", self.hashes.to_json())];
        merged(known.into_iter().chain(custom), &self.unknown)
    }

    fn parse(at: String, json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new(at, json)?;
        let length = fields.optional_size("length")?;
        let hashes = fields.hashes("hashes")?;
        Ok(Self {
            length: length.ok_or_else(|| fields.object_to("length", "is missing"))?,
            hashes: hashes.ok_or_else(|| fields.object_to("hashes", "is missing"))?,
            custom: fields.optional("custom"),
            unknown: fields.rest(),
        })
    }
}

/// A role that another one trusts with some of its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegatedRole {
    /// Its name.
    pub name: String,
    /// Who signs for it.
    pub keys: RoleKeys,
    /// What it is trusted with.
    pub paths: Paths,
    /// Whether a path that is its own is looked for nowhere after it.
    pub terminating: bool,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl DelegatedRole {
    fn to_json(&self) -> Json {
        let texts = |texts: Vec<&str>| Json::Array(texts.into_iter().map(Json::from).collect());
        let paths = match &self.paths {
            Paths::Patterns(all) => ("paths", texts(all.iter().map(|one| one.as_str()).collect())),
            Paths::HashPrefixes(all) => {
                ("path_hash_prefixes", texts(all.iter().map(String::as_str).collect()))
            }
        };
        let known = [
            ("name", self.name.as_str().into()),
            ("terminating", Json::Bool(self.terminating)),
            paths,
        ];
        merged(known.into_iter().chain(self.keys.fields()), &self.unknown)
    }

    fn parse(json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new("delegations.roles", json)?;
        let name = fields.text("name")?;
        if name.is_empty() || TOP_LEVEL.contains(&name.as_str()) {
            return Err(fields.object_to("name", format!("{name:?} may not be delegated to")));
        }
        let mut fields =
            Fields::new(format!("delegations.roles.{name}"), Json::Object(fields.rest()))?;
        let keys = RoleKeys::parse(&mut fields)?;
        let terminating = fields.optional_bool("terminating")?.unwrap_or(false);
        let mut texts = |key: &str| -> Result<Option<Vec<String>>, Malformed> {
            if fields.has(key) { fields.texts(key).map(Some) } else { Ok(None) }
        };
        let paths = match (texts("paths")?, texts("path_hash_prefixes")?) {
            (Some(paths), None) => Paths::Patterns(paths.into_iter().map(Into::into).collect()),
            (None, Some(prefixes)) => Paths::HashPrefixes(prefixes),
            _ => return Err(fields.object_to("paths", "or path_hash_prefixes is needed, not both")),
        };
        Ok(Self { name, keys, paths, terminating, unknown: fields.rest() })
    }
}

/// The roles that a role delegates to, in order of precedence, and their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegations {
    /// Keys of the roles.
    pub keys: Keys,
    /// The roles, each once.
    pub roles: Vec<DelegatedRole>,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl Delegations {
    fn to_json(&self) -> Json {
        let roles = self.roles.iter().map(DelegatedRole::to_json).collect();
        let known = [("keys", keys_to_json(&self.keys)), ("roles", Json::Array(roles))];
        merged(known, &self.unknown)
    }

    fn parse(mut fields: Fields) -> Result<Self, Malformed> {
        let keys = parse_keys(fields.fields("keys")?)?;
        let roles = fields.list("roles")?.into_iter().map(DelegatedRole::parse);
        let roles = roles.collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = roles.iter().find(|role| !names.insert(&role.name)) {
            return Err(fields.object_to("roles", format!("{:?} repeats", twice.name)));
        }
        Ok(Self { keys, roles, unknown: fields.rest() })
    }
}

/// The signed part of `targets.json`, or of the file of a delegated role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Version and expiry.
    pub head: Head,
    /// Files by target path.
    pub targets: BTreeMap<String, Target>,
    /// Roles it delegates to.
    pub delegations: Option<Delegations>,
    /// Unknown fields, kept.
    pub unknown: Object,
}

impl Targets {
    /// A role without targets.
    #[must_use]
    pub fn new(head: Head, delegations: Option<Delegations>) -> Self {
        Self { head, targets: BTreeMap::new(), delegations, unknown: Object::new() }
    }

    /// The roles it delegates to, in order of precedence.
    #[must_use]
    pub fn delegated(&self) -> &[DelegatedRole] {
        self.delegations.as_ref().map_or(&[], |delegations| &delegations.roles)
    }
}

impl Signed for Targets {
    const TYPE: &'static str = "targets";

    fn head(&self) -> &Head {
        &self.head
    }

    fn to_json(&self) -> Json {
        let targets = self.targets.iter().map(|(path, target)| (path.clone(), target.to_json()));
        let targets = [("targets", Json::Object(targets.collect()))];
        let delegations = self.delegations.as_ref().map(|all| ("delegations", all.to_json()));
        self.head.with(Self::TYPE, targets.into_iter().chain(delegations), &self.unknown)
    }

    fn parse(head: Head, json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new(Self::TYPE, json)?;
        let targets = fields.fields("targets")?.each().map(|(path, json)| {
            let target = Target::parse(format!("targets.{path}"), json)?;
            Ok((path, target))
        });
        let targets = targets.collect::<Result<_, _>>()?;
        let delegations = match fields.has("delegations") {
            true => Some(Delegations::parse(fields.fields("delegations")?)?),
            false => None,
        };
        Ok(Self { head, targets, delegations, unknown: fields.rest() })
    }
}
