//! `node.toml`: what the operator decides for a node.
//!
#![doc = include_str!("../docs/node-toml.md")]

mod etcd;
mod gate;
mod inputs;
mod manager;
mod pool;
mod service;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::document::Document;
use crate::exit::{Exit, Explain};
use crate::input::InputName;
use crate::name::{Channel, Product};
use crate::schema::NodeSchema;
use crate::spelling;
use crate::stage::{self, Author, Check, Objection, Stages};

pub use etcd::{Etcd, EtcdEndpoint, EtcdIdentity, EtcdLogin, EtcdTls, InvalidEtcdEndpoint};
pub use gate::{
    AccessLog, BackoffHeader, Gate, InvalidOpenPath, InvalidUpgrade, OpenPath, Role, Upgrade,
};
pub use inputs::{Given, SecretSource};
pub use manager::{Manager, Orders};
pub use pool::{
    BackendServer, CommandPool, EtcdPool, HaproxyPool, InvalidBackendServer, InvalidRuntimeSocket,
    Lingering, Pool, RuntimeSocket, Then,
};
pub use service::{Journal, Limits, Liveness, Log, LogFiles, NodeHealth, NodeService, Umask};

/// A node's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeToml {
    /// What runs here.
    pub product: Product,
    /// Where releases come from: `file:///path`, a path, or `http(s)://`.
    pub repository: String,
    /// Other places that hold the same repository, asked in this order where it fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// The channel that `install` follows where no version is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// How many good releases `prune` keeps beside the running one.
    #[serde(default = "default_keep")]
    pub keep: usize,
    /// The gate; without it `install` only switches files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What the node adds to the release's own service settings.
    #[serde(default, skip_serializing_if = "NodeService::is_empty")]
    pub service: NodeService,
    /// What sends traffic to this node and must know when it changes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// The fleet's etcd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<Etcd>,
    /// Stages of the node's own, and what it says about a release's and the built-in ones.
    #[serde(default, skip_serializing_if = "Stages::is_empty")]
    pub stage: Stages,
    /// What must hold before and after stages here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<Check>,
    /// How the database is asked for the version of its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<NodeSchema>,
    /// What the node gives for the inputs that releases declare, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<InputName, Given>,
}

/// Where all keys stand.
const DOCUMENTED: [&str; 2] =
    [include_str!("../docs/node-toml.md"), include_str!("../docs/stages.md")];

/// How many good releases are kept where nothing is said.
pub const DEFAULT_KEEP: usize = 3;

fn default_keep() -> usize {
    DEFAULT_KEEP
}

/// A `node.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNodeToml {
    /// Not TOML, a key that means nothing, or a value of the wrong kind.
    #[error("{}", .0.to_string().trim_end())]
    Shape(#[from] toml::de::Error),
    /// A key that means nothing.
    #[error("line {line}: unknown key `{key}`")]
    UnknownKey {
        /// Where; lines count from 1.
        line: usize,
        /// The key with the sections that it is in.
        key: String,
    },
    /// A value of the right kind that cannot be meant.
    #[error("line {line}: {key} {why}")]
    Value {
        /// Where; lines count from 1.
        line: usize,
        /// The key with the sections that it is in.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Explain for InvalidNodeToml {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownKey { key, .. } => spelling::perhaps(key, "node.toml", &DOCUMENTED),
            Self::Shape(_) | Self::Value { .. } => Vec::new(),
        }
    }
}

impl NodeToml {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, InvalidNodeToml> {
        // First as text: the parser's own objections then show the line.
        let parsed: Self = toml::from_str(text)?;
        let document = Document::parse(text)?;
        let line = |keys: &[String]| document.line(&document.find(keys.iter().map(String::as_str)));
        if let (_, Some(keys)) = document.read::<Self>()? {
            return Err(InvalidNodeToml::UnknownKey { line: line(&keys), key: keys.join(".") });
        }
        let object = stage::object(Author::Node, &parsed.stage, &parsed.check);
        object.map_err(|Objection { keys, why }| InvalidNodeToml::Value {
            line: line(&keys),
            key: keys.join("."),
            why,
        })?;
        match parsed.service.contradiction() {
            None => Ok(parsed),
            Some((key, why)) => {
                let keys = ["service".to_owned(), key.to_owned()];
                let (line, key) = (line(&keys), keys.join("."));
                Err(InvalidNodeToml::Value { line, key, why })
            }
        }
    }
}

/// A list of at least one.
fn at_least_one<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(serde::de::Error::custom("the list is empty; it needs at least one"));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_file() {
        let start = "product = 'a'\nrepository = 'b'\n";
        for (text, message) in [
            ("[gate]\nlisten = 'localhost:80'", "`localhost:80` is not an address with a port"),
            ("[gate]\nlisten = '127.0.0.1:80'\nmetrics = '9100'", "`9100` is not an address"),
            ("[gate]\nlisten = '127.0.0.1:80'\naccess-log = 'x'", "expected { file = \"…\" }"),
            ("[service]\nlog = 'jurnal'", "expected \"journal\", or { size"),
        ] {
            let error = NodeToml::parse(&format!("{start}{text}")).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
        let error = NodeToml::parse(&format!("{start}[stage.a]\naftr = 'fetch'")).unwrap_err();
        assert_eq!(error.hints(), ["perhaps `after` is meant"]);
    }

    /// The example of the specification, so that it stays true.
    #[test]
    fn the_documented_example_is_read() {
        let docs = include_str!("../docs/node-toml.md");
        let example = docs.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let gate = NodeToml::parse(example.unwrap()).unwrap().gate.unwrap();
        let defaults = Gate::on(gate.listen);
        assert!(gate.always[1].matches("/open/door"));
        // What is shown and not a matter of taste is the default.
        assert_eq!(
            gate,
            Gate {
                page: gate.page.clone(),
                json_page: gate.json_page.clone(),
                always: gate.always.clone(),
                metrics: gate.metrics,
                access_log: gate.access_log.clone(),
                ..defaults
            }
        );
    }
}
