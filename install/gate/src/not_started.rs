//! Why a service could not be started, and whose fault that is.

use std::fmt;
use std::io;

use cutover_formats::exit::Exit;
use cutover_formats::version::Version;
use serde::{Deserialize, Serialize};

use super::protocol::Fault;
use super::upstream::Address;

/// Why a service could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NotStarted {
    why: String,
    /// The exit code for it, where the node is to blame and not the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<u8>,
}

impl NotStarted {
    /// The node's settings, limits or disk stand in the way.
    pub(super) fn of_node(exit: Exit, why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), node: Some(exit.code()) }
    }

    /// What the release has for a program cannot be run.
    pub(super) fn of_release(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), node: None }
    }

    /// Somebody else has the address that was free for it a moment before. It has another one at its
    /// next start, but for a unix socket, whose place only its own user can take.
    pub(super) fn displaced(address: &Address, why: impl fmt::Display) -> Self {
        let exit = match address {
            Address::Tcp(_) => Exit::Busy,
            Address::Unix(_) => Exit::Usage,
        };
        Self::of_node(exit, why)
    }

    /// For whoever asked for `version`.
    pub(super) fn fault(self, version: &Version) -> Fault {
        Fault::CannotStart { version: version.clone(), reason: self.why, node: self.node }
    }
}

/// Whatever fails around a service's own program is the node's.
impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        let exit = match Exit::of_io(&error) {
            // A user, a folder: what settings name.
            Exit::NotFound => Exit::Usage,
            exit @ (Exit::Usage | Exit::NoSpace) => exit,
            _ if error.kind() == io::ErrorKind::AddrInUse => Exit::Busy,
            _ => Exit::Unexpected,
        };
        Self::of_node(exit, error)
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is() {
        let code = |error: io::Error| NotStarted::from(error).node;
        let system = io::Error::from_raw_os_error;
        assert_eq!(code(io::Error::new(io::ErrorKind::NotFound, "no user weave")), Some(2));
        assert_eq!(code(system(24)), Some(2), "too many open files");
        assert_eq!(code(system(28)), Some(7), "no space");
        assert_eq!(code(system(98)), Some(6), "a port that is taken");
        assert_eq!(code(system(5)), Some(1), "a disk that fails");
        assert_eq!(NotStarted::of_release("no such program").node, None);
        let port = Address::Tcp(([127, 0, 0, 1], 80).into());
        let (port, socket) = (port, Address::Unix("/run/s.sock".into()));
        assert_eq!(NotStarted::displaced(&port, "a rival").node, Some(6));
        assert_eq!(NotStarted::displaced(&socket, "a rival").node, Some(2));
    }
}
