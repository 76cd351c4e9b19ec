//! `[pool]`: how the node is taken out of its load balancer while it changes over, and put back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::period::Period;

/// What sends traffic to this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum Pool {
    /// HAProxy, told over its runtime sockets.
    Haproxy(HaproxyPool),
    /// Keys in etcd that a load balancer follows, in the style of conftool; `[etcd]` says where.
    Etcd(EtcdPool),
    /// Whatever two commands do.
    Command(CommandPool),
}

/// A node behind HAProxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HaproxyPool {
    /// The runtime socket (level admin) of every HAProxy that sends traffic here.
    #[serde(deserialize_with = "super::at_least_one")]
    pub sockets: Vec<RuntimeSocket>,
    /// What this node is called there.
    #[serde(deserialize_with = "super::at_least_one")]
    pub servers: Vec<BackendServer>,
    /// How long requests under way may take to end.
    #[serde(default = "half_a_minute")]
    pub drain_within: Period,
    /// What becomes of an install when they do not.
    #[serde(default)]
    pub lingering: Lingering,
    /// How the servers stand while the node changes over.
    #[serde(default)]
    pub then: Then,
    /// How long HAProxy's own checks may take to find the node up again.
    #[serde(default = "half_a_minute")]
    pub up_within: Period,
}

/// What to do about requests that outlast `drain-within`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lingering {
    /// The install is refused, and the node put back.
    #[default]
    Refuse,
    /// The install goes on: the gate gives them `drain` more, as without a pool.
    Leave,
}

/// How a server stands while it is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// No new clients; those that a cookie or a stick table binds to the server still come.
    #[default]
    Drain,
    /// Nobody, once it is drained. HAProxy does not check a server in maintenance, and takes it for
    /// up as soon as it is ready.
    Maint,
}

/// Where an HAProxy takes commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RuntimeSocket {
    /// An absolute path.
    Unix(String),
    /// `host:port`.
    Tcp(String),
}

/// A server as HAProxy's commands name it: `backend/server`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendServer {
    /// The backend.
    pub backend: String,
    /// The server in it.
    pub server: String,
}

/// A node that etcd keys say is pooled or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EtcdPool {
    /// The keys whose values are `{"pooled": "yes|no|inactive", "weight": N}` for this node.
    #[serde(deserialize_with = "super::at_least_one")]
    pub keys: Vec<String>,
    /// How long what follows the keys takes to act on a change, with requests under way.
    #[serde(default = "five_seconds")]
    pub settle: Period,
}

/// A node that commands take out and put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CommandPool {
    /// Takes the node out and ends when no request is under way. The program and its arguments.
    #[serde(deserialize_with = "super::at_least_one")]
    pub depool: Vec<String>,
    /// Puts it back. The program and its arguments.
    #[serde(deserialize_with = "super::at_least_one")]
    pub repool: Vec<String>,
    /// How long each may take.
    #[serde(default = "a_minute")]
    pub timeout: Period,
}

/// Neither a path nor `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither the absolute path of a socket nor `host:port`")]
pub struct InvalidRuntimeSocket(String);

/// Not `backend/server`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `backend/server` in letters, digits, `-`, `_`, `.` and `:`")]
pub struct InvalidBackendServer(String);

impl FromStr for RuntimeSocket {
    type Err = InvalidRuntimeSocket;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        match text.rsplit_once(':') {
            _ if text.starts_with('/') => Ok(Self::Unix(text.to_owned())),
            Some((host, port)) if !host.is_empty() && !host.contains('/') && is_port(port) => {
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(InvalidRuntimeSocket(text.to_owned())),
        }
    }
}

impl FromStr for BackendServer {
    type Err = InvalidBackendServer;

    /// Only what HAProxy allows in names, so that a name cannot become another command.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = |name: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
            !name.is_empty() && name.bytes().all(allowed)
        };
        match text.split_once('/') {
            Some((backend, server)) if is_name(backend) && is_name(server) => {
                Ok(Self { backend: backend.to_owned(), server: server.to_owned() })
            }
            _ => Err(InvalidBackendServer(text.to_owned())),
        }
    }
}

impl TryFrom<String> for RuntimeSocket {
    type Error = InvalidRuntimeSocket;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for BackendServer {
    type Error = InvalidBackendServer;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RuntimeSocket> for String {
    fn from(socket: RuntimeSocket) -> String {
        socket.to_string()
    }
}

impl From<BackendServer> for String {
    fn from(server: BackendServer) -> String {
        server.to_string()
    }
}

impl fmt::Display for RuntimeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unix(text) | Self::Tcp(text)) = self;
        f.write_str(text)
    }
}

impl fmt::Display for BackendServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backend, self.server)
    }
}

fn five_seconds() -> Period {
    Period::seconds(5)
}

fn half_a_minute() -> Period {
    Period::seconds(30)
}

fn a_minute() -> Period {
    Period::seconds(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_driver_has_its_own_keys() {
        let haproxy = "driver = 'haproxy'\nsockets = ['/run/h.sock', 'lb1:9999', '[::1]:99']\n\
                       servers = ['weave/node1']\ndrain-within = '1m'\nthen = 'maint'";
        let Pool::Haproxy(pool) = toml::from_str(haproxy).unwrap() else { panic!("haproxy") };
        assert_eq!(pool.sockets[1], RuntimeSocket::Tcp("lb1:9999".to_owned()));
        assert_eq!(pool.servers[0].to_string(), "weave/node1");
        assert_eq!((pool.then, pool.lingering), (Then::Maint, Lingering::Refuse));
        let etcd = toml::from_str("driver = 'etcd'\nkeys = ['/pools/a/node1']").unwrap();
        assert!(matches!(etcd, Pool::Etcd(EtcdPool { settle, .. }) if settle == five_seconds()));
        let command = "driver = 'command'\ndepool = ['out', '{product}']\nrepool = ['in']";
        assert!(matches!(toml::from_str(command).unwrap(), Pool::Command(_)));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (text, why) in [
            ("driver = 'varnish'", "varnish"),
            ("driver = 'haproxy'\nsockets = []\nservers = ['a/b']", "at least one"),
            ("driver = 'haproxy'\nsockets = ['h.sock']\nservers = ['a/b']", "`h.sock`"),
            ("driver = 'haproxy'\nsockets = ['/h']\nservers = ['b']", "`b` is not"),
            ("driver = 'haproxy'\nsockets = ['/h']\nservers = ['a/b state']", "`a/b state`"),
            ("driver = 'haproxy'\nsockets = ['/h']\nservers = ['a/b;quit']", "`a/b;quit`"),
            ("driver = 'haproxy'\nsockets = ['h:0']\nservers = ['a/b']", "`h:0`"),
            ("driver = 'etcd'\nkeys = ['/a']\nweight = 1", "weight"),
            ("driver = 'command'\ndepool = ['x']", "repool"),
        ] {
            let error = toml::from_str::<Pool>(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
