//! Where a stage or a check happens: the node, the releases, and whom to ask.

use std::net::SocketAddr;

use cutover_formats::version::Version;
use cutover_terminal::Output;

use crate::gate::{ControlError, GateStatus, Session};
use crate::node::Node;

/// Where a stage or a check happens.
pub struct Scene<'a> {
    /// The node.
    pub node: &'a Node,
    /// What ran before.
    pub from: Option<&'a Version>,
    /// What shall run.
    pub to: &'a Version,
    /// Names the transaction.
    pub id: &'a str,
    /// Who watches.
    pub output: &'a Output,
    pub(crate) gate: Option<&'a mut Session>,
    /// Where the new release runs, if it does so without a gate.
    pub(crate) alone: Option<Answers>,
}

/// Who answers for the new release now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The release itself, at `127.0.0.1:<port>`.
    Tcp(SocketAddr),
    /// The release itself, on a unix socket.
    Unix(std::path::PathBuf),
    /// The gate, for whoever asks.
    Gate(SocketAddr),
}

impl Scene<'_> {
    fn status(&mut self) -> Result<Option<GateStatus>, ControlError> {
        self.gate.as_mut().map(|gate| gate.status()).transpose()
    }

    /// Whom a check of the new release asks: the newcomer itself while requests do not go to it,
    /// then the gate; `None` where no gate runs.
    pub fn answers(&mut self) -> Result<Option<Answers>, ControlError> {
        if self.alone.is_some() {
            return Ok(self.alone.clone());
        }
        let Some(status) = self.status()? else { return Ok(None) };
        let newcomer =
            status.newcomer_address.filter(|_| status.newcomer.as_ref() == Some(self.to));
        Ok(Some(match newcomer.as_deref().map(own) {
            Some(own) => own,
            None => Answers::Gate(status.listen),
        }))
    }

    /// The placeholders of a command line, and what stands for them here and now: `prefix`, `version`,
    /// `root`, `from`, and where the new release runs `listen`, `port` or `socket`.
    pub fn values(&mut self) -> Result<Vec<(&'static str, String)>, ControlError> {
        let (root, to) = (&self.node.root, self.to);
        let mut values = vec![
            ("prefix", root.prefix(to).display().to_string()),
            ("version", to.to_string()),
            ("root", root.path().display().to_string()),
            ("from", self.from.map_or_else(|| "none".to_owned(), Version::to_string)),
        ];
        match self.itself()? {
            Some(Answers::Tcp(address) | Answers::Gate(address)) => {
                values.push(("listen", address.to_string()));
                values.push(("port", address.port().to_string()));
            }
            Some(Answers::Unix(path)) => {
                values.push(("listen", format!("unix:{}", path.display())));
                values.push(("socket", path.display().to_string()));
            }
            None => {}
        }
        Ok(values)
    }

    /// Where the new release itself runs, if it does.
    fn itself(&mut self) -> Result<Option<Answers>, ControlError> {
        if self.alone.is_some() {
            return Ok(self.alone.clone());
        }
        let Some(status) = self.status()? else { return Ok(None) };
        let running = status.running.filter(|running| running.version == *self.to);
        let newcomer =
            status.newcomer_address.filter(|_| status.newcomer.as_ref() == Some(self.to));
        let address = newcomer.or_else(|| running.and_then(|running| running.address));
        Ok(address.as_deref().map(own))
    }
}

/// An address as the gate's status has it.
pub(crate) fn own(address: &str) -> Answers {
    address.parse().map_or_else(|_| Answers::Unix(address.into()), Answers::Tcp)
}
