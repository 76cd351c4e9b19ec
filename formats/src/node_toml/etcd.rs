//! `[etcd]`: where the fleet's etcd is.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::period::Period;

/// How etcd is reached. Relative paths are below the node's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Etcd {
    /// Its members; each is tried in turn.
    #[serde(deserialize_with = "super::at_least_one")]
    pub endpoints: Vec<EtcdEndpoint>,
    /// Who we are there; without it nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<EtcdLogin>,
    /// How `https` endpoints are known, and how we are.
    #[serde(default, skip_serializing_if = "EtcdTls::is_empty")]
    pub tls: EtcdTls,
    /// How long all members together may take to answer, elections included.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EtcdLogin {
    /// The name.
    pub user: String,
    /// The file that holds the password, on its first line.
    pub password_file: PathBuf,
}

/// Certificates, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EtcdTls {
    /// Who may vouch for the endpoints, in place of the system's authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<EtcdIdentity>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EtcdIdentity {
    /// The certificate, with those that lead to its authority.
    pub certificate_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

/// `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EtcdEndpoint(String);

/// Not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `http://host:port` nor `https://host:port`")]
pub struct InvalidEtcdEndpoint(String);

impl EtcdTls {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl EtcdEndpoint {
    /// The address, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there can be read on the way.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.starts_with("http://")
    }
}

impl TryFrom<String> for EtcdEndpoint {
    type Error = InvalidEtcdEndpoint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let address = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let address = address.map(|address| address.strip_suffix('/').unwrap_or(address));
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c);
        match address {
            Some(address) if !address.is_empty() && !address.contains(strange) => {
                Ok(Self(text.trim_end_matches('/').to_owned()))
            }
            // A password may stand in it.
            _ if text.contains('@') => Err(InvalidEtcdEndpoint("…".to_owned())),
            _ => Err(InvalidEtcdEndpoint(text)),
        }
    }
}

impl From<EtcdEndpoint> for String {
    fn from(endpoint: EtcdEndpoint) -> String {
        endpoint.0
    }
}

impl fmt::Display for EtcdEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn default_timeout() -> Period {
    Period::seconds(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_and_nothing_else() {
        let parse = |text: &str| EtcdEndpoint::try_from(text.to_owned());
        assert_eq!(parse("http://127.0.0.1:2379/").unwrap().as_str(), "http://127.0.0.1:2379");
        assert!(!parse("https://etcd1.example:2379").unwrap().is_plain());
        for bad in ["etcd1:2379", "http://", "http://a/b", "ftp://a", "http://a?x", "http://a b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let error = parse("http://root:hunter2@a").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
