//! How a release's service is started here: the descriptor's words with this node's values in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use cutover_formats::descriptor::{Health, Service, StopSignal};
use cutover_formats::digest::Digest;
use cutover_formats::node_toml::{Log, Manager, NodeService};
use cutover_formats::version::Version;
use cutover_node::placeholders::fill;
use cutover_node::root::Root;

use super::log_files::LogFiles;
use super::minder::{Program, Task, Who};
use super::steward::{SHORTLY, Stewardship};
use super::upstream::Address;

/// Most bytes of the path of a unix socket.
pub(super) const LONGEST_SOCKET: usize = 107;

/// Everything that starting one process takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    /// The release.
    pub(super) version: Version,
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// Variables on top of the gate's own.
    pub(super) env: BTreeMap<String, String>,
    /// Where it runs.
    pub(super) folder: PathBuf,
    /// Where it will be reached.
    pub(super) address: Address,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// Whom it runs as, where that is another than the gate.
    pub(super) who: Option<Who>,
    /// What the node says of it.
    pub(super) node: NodeService,
    /// When it counts as healthy.
    pub(super) health: Health,
    /// Which answers to the question for its health are good ones.
    pub(super) asks: Asks,
    /// How long it may take to end.
    pub(super) drain: Duration,
    /// What it is sent for that.
    pub(super) stop_signal: StopSignal,
    /// The rendering of its configuration that held a moment ago; what it reads may be a later one.
    pub(super) config: Option<u64>,
}

/// What a node knows of a release that it is about to run.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// The release.
    pub(super) version: Version,
    /// How it is run.
    pub(super) service: Service,
    /// Which answers to the question for its health are good ones.
    pub(super) asks: Asks,
}

/// Which answers of a service show that it is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Those with a status from 200 to 399.
    ForHealth,
    /// All: a command in the place of `health` decides whether it is well.
    ForAnyAnswer,
}

impl Recipe {
    /// Whether the service is reached by a unix socket.
    pub(super) fn uses_socket(&self, node: &NodeService) -> bool {
        let orders = node.manager.as_ref().map(Manager::orders);
        let command = orders.map_or_else(|| self.service.command.clone(), |orders| orders.start);
        let env = self.service.env.values().chain(node.env.values());
        command.iter().chain(env).any(|text| text.contains("{socket}"))
    }

    /// Puts this node's values into the recipe.
    pub(super) fn launch(
        &self,
        root: &Root,
        node: &NodeService,
        who: Option<Who>,
        address: Address,
    ) -> Launch {
        let values = self.values(root, &address);
        let mut env = BTreeMap::new();
        // Else running any release that has a line of Python would change its sealed prefix.
        env.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
        let from_release = self.service.env.iter();
        env.extend(from_release.map(|(name, value)| (name.clone(), fill(value, &values))));
        env.extend(node.env.iter().map(|(name, value)| (name.clone(), fill(value, &values))));
        let folder = root.prefix(&self.version);
        let mut command: Vec<String> =
            self.service.command.iter().map(|part| fill(part, &values)).collect();
        if let Some(program) = command.first_mut()
            && program.contains('/')
        {
            // A relative path means one in the prefix; an absolute one stays what it is.
            *program = folder.join(&*program).display().to_string();
        }
        let mut drain = self.service.drain.as_duration();
        let mut stop_signal = node.stop_signal.unwrap_or(self.service.stop_signal);
        if let Some(manager) = &node.manager {
            for (name, value) in &values {
                env.insert(format!("CUTOVER_{}", name.to_ascii_uppercase()), value.clone());
            }
            let fill = |text: &str| fill(text, &values);
            command = Stewardship::new(manager, fill, &env, drain, root.run()).command();
            // The steward has means of its own before it is killed.
            drain += 2 * SHORTLY;
            // It knows this one; what the service gets is the manager's to say.
            stop_signal = StopSignal::Term;
        }
        Launch {
            version: self.version.clone(),
            command,
            env,
            folder,
            address,
            log: root.service_log(&self.version),
            who,
            node: node.clone(),
            health: self.service.health.clone(),
            asks: self.asks,
            drain,
            stop_signal,
            config: None,
        }
    }

    fn values(&self, root: &Root, address: &Address) -> [(&'static str, String); 6] {
        let (listen, port, socket) = match address {
            Address::Tcp(address) => (address.to_string(), address.port().to_string(), None),
            Address::Unix(path) => (format!("unix:{}", path.display()), String::new(), Some(path)),
        };
        [
            ("prefix", root.prefix(&self.version).display().to_string()),
            ("version", self.version.to_string()),
            ("root", root.path().display().to_string()),
            ("listen", listen),
            ("port", port),
            ("socket", socket.map_or_else(String::new, |path| path.display().to_string())),
        ]
    }
}

impl Launch {
    /// What a minder is told.
    pub(super) fn task(&self, root: &Root) -> Task {
        let log = match self.node.log {
            Log::Journal(_) => None,
            Log::Files(files) => {
                Some(LogFiles::new(self.log.clone(), files.size.bytes(), files.files.get()))
            }
        };
        Task {
            run: root.run(),
            version: self.version.to_string(),
            config: self.config,
            settings: settings(&self.node),
            address: self.address.clone(),
            drain: self.drain,
            stop_signal: self.stop_signal,
            log,
            program: Program {
                command: self.command.clone(),
                env: self.env.clone(),
                folder: self.folder.clone(),
                who: self.who.clone(),
                limits: self.node.limits,
                umask: (self.node.umask.map(cutover_formats::node_toml::Umask::bits))
                    .or_else(cutover_node::umask::inherited),
            },
        }
    }

    /// The file that has its output, if one has.
    pub(super) fn log_path(&self) -> Option<&PathBuf> {
        matches!(self.node.log, Log::Files(_)).then_some(&self.log)
    }
}

/// What of the node's settings holds from the start of a process on, to be compared. How to change
/// over is looked at by each install.
pub(super) fn settings(node: &NodeService) -> Option<Digest> {
    let node = NodeService { swap: None, ..node.clone() };
    serde_json::to_vec(&node).ok().map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_formats::descriptor::Swap;
    use cutover_formats::period::Period;

    fn recipe(command: &[&str]) -> Recipe {
        Recipe {
            version: Version::new(1, 2, 3),
            service: Service {
                command: command.iter().map(|part| (*part).to_owned()).collect(),
                env: BTreeMap::from([("A".to_owned(), "{port}".to_owned())]),
                health: Health::default(),
                swap: Swap::default(),
                drain: Period::seconds(10),
                stop_signal: StopSignal::Quit,
            },
            asks: Asks::ForHealth,
        }
    }

    #[test]
    fn the_node_has_the_last_word() {
        let root = Root::new("/srv/weave".into());
        let address = Address::Tcp(([127, 0, 0, 1], 8001).into());
        let env = BTreeMap::from([("A".to_owned(), "node {version}".to_owned())]);
        let node = NodeService { env, ..NodeService::default() };
        let launch = recipe(&["bin/serve", "{listen}", "{prefix}/x", "{what}"]);
        let launch = launch.launch(&root, &node, None, address);
        assert_eq!(
            launch.command,
            [
                "/srv/weave/releases/1.2.3/bin/serve",
                "127.0.0.1:8001",
                "/srv/weave/releases/1.2.3/x",
                "{what}"
            ]
        );
        assert_eq!(launch.env["A"], "node 1.2.3");
        assert_eq!(launch.env["PYTHONDONTWRITEBYTECODE"], "1");
        assert_eq!(launch.folder, std::path::Path::new("/srv/weave/releases/1.2.3"));
    }

    #[test]
    fn a_steward_knows_one_signal_only() {
        let stops_by = |node: &NodeService| {
            let address = Address::Tcp(([127, 0, 0, 1], 8001).into());
            recipe(&["serve", "{listen}"])
                .launch(&Root::new("/r".into()), node, None, address)
                .stop_signal
        };
        let said = NodeService { stop_signal: Some(StopSignal::Kill), ..NodeService::default() };
        let manager = Manager::Systemd { unit: "weave@{version}.service".to_owned() };
        let managed = NodeService { manager: Some(manager), ..NodeService::default() };
        assert_eq!(stops_by(&NodeService::default()), StopSignal::Quit, "as the release says");
        assert_eq!((stops_by(&said), stops_by(&managed)), (StopSignal::Kill, StopSignal::Term));
    }

    #[test]
    fn a_socket_is_used_where_it_is_named() {
        let node = NodeService::default();
        let with = recipe(&["serve", "--bind", "unix:{socket}"]);
        assert!(with.uses_socket(&node) && !recipe(&["serve", "{listen}"]).uses_socket(&node));
        let address = Address::Unix("/r/run/s.sock".into());
        let launch = with.launch(&Root::new("/r".into()), &NodeService::default(), None, address);
        assert_eq!(launch.command, ["serve", "--bind", "unix:/r/run/s.sock"]);
    }
}
