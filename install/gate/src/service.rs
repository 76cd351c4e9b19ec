//! A release's service over all its processes: started, healthy, down, started again.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_formats::descriptor::Descriptor;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::node_toml::{NodeService, NodeToml};
use cutover_formats::period::Period;
use cutover_formats::stage::{BuiltIn, Stages};
use cutover_formats::version::Version;
use cutover_node::node::{self, Node, NodeError};
use cutover_node::root::Root;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::health::{self, Ill};
use super::identity::Record;
use super::launch::{Asks, LONGEST_SOCKET, Launch, Recipe};
use super::minder::Who;
use super::not_started::NotStarted;
use super::process::{Ended, Process};
use super::protocol::Fault;
use super::upstream::{Address, Upstream};
use super::view::Supply;

/// Pauses before a service that ended by itself is started again: the first and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How often it is started in all where somebody takes the port that was free for it.
const STARTS: usize = 4;

/// A service that was healthy for so long has its next pause start over.
const STABLE: Duration = Duration::from_secs(60);

/// A release's service.
#[derive(Debug)]
pub(super) struct Service {
    recipe: Recipe,
    phase: RefCell<Phase>,
    process: RefCell<Option<Rc<Process>>>,
    /// Held while a process is being started, which nobody calls off.
    starting: Arc<Mutex<()>>,
    /// Nothing is started any more.
    ended: Cell<bool>,
    /// The task that starts it again, for the running service.
    pub(super) keeper: RefCell<Option<AbortHandle>>,
}

#[derive(Debug)]
enum Phase {
    Starting,
    Up(Arc<Upstream>),
    Down,
}

/// What a service needs of its surroundings.
#[derive(Debug)]
pub(super) struct Ground {
    /// The node.
    pub(super) root: Root,
    /// What the node says of services, as of the last look.
    pub(super) node: RefCell<NodeService>,
    /// Whether it is looked at again.
    pub(super) source: Source,
    /// Threads that will send requests.
    pub(super) lanes: usize,
    /// Numbers unix sockets.
    pub(super) serial: Cell<u64>,
}

/// Where it is said what the node adds to a release's own service settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In the root's `node.toml`, which may change.
    File,
    /// It was said once and for all.
    Given,
}

impl Ground {
    /// What the node says of services now. Where `node.toml` cannot be read, what it said before holds
    /// on: a service that ended is not left down for a slip in that file.
    pub(super) fn settings(&self) -> NodeService {
        match self.look() {
            Ok(Some(now)) => *self.node.borrow_mut() = now,
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "what [service] said before holds on"),
        }
        self.node.borrow().clone()
    }

    /// What `node.toml` says of services at this moment; `None` where it has no say.
    pub(super) fn look(&self) -> Result<Option<NodeService>, NodeError> {
        match self.source {
            Source::File => Ok(Some(Node::open(self.root.path())?.settings.service)),
            Source::Given => Ok(None),
        }
    }
}

impl Service {
    /// Reads how `version` is run; starts nothing.
    pub(super) fn load(root: &Root, version: &Version) -> Result<Rc<Self>, Fault> {
        let path = root.descriptor(version);
        let cannot = |exit: Exit, why: String| NotStarted::of_node(exit, why).fault(version);
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = fs::read(&path).map_err(|error| cannot(Exit::of_io(&error), at(&error)))?;
        let descriptor =
            Descriptor::parse(&bytes).map_err(|error| cannot(error.exit(), at(&error)))?;
        let replaced = replaces_health(&descriptor.stages) || node_replaces_health(root);
        let no_service = || cannot(Exit::Usage, "the release has no service".to_owned());
        let service = descriptor.service.ok_or_else(no_service)?;
        let asks = if replaced { Asks::ForAnyAnswer } else { Asks::ForHealth };
        Ok(Rc::new(Self {
            recipe: Recipe { version: version.clone(), service, asks },
            phase: RefCell::new(Phase::Starting),
            process: RefCell::default(),
            starting: Arc::default(),
            ended: Cell::default(),
            keeper: RefCell::default(),
        }))
    }

    /// The release.
    pub(super) fn version(&self) -> &Version {
        &self.recipe.version
    }

    /// How long it may take to finish requests, and then to end.
    pub(super) fn drain_limit(&self) -> Duration {
        self.recipe.service.drain.as_duration()
    }

    /// Its present process.
    pub(super) fn process(&self) -> Option<Rc<Process>> {
        self.process.borrow().clone()
    }

    /// Where requests may go, if anywhere.
    pub(super) fn upstream(&self) -> Option<Arc<Upstream>> {
        match &*self.phase.borrow() {
            Phase::Up(upstream) => Some(upstream.clone()),
            Phase::Starting | Phase::Down => None,
        }
    }

    /// What it is to requests.
    pub(super) fn supply(&self) -> Supply {
        match &*self.phase.borrow() {
            Phase::Starting => Supply::Starting,
            Phase::Up(upstream) => Supply::Up(upstream.clone()),
            Phase::Down => Supply::Down,
        }
    }

    /// Whether it is healthy and its process lives.
    pub(super) fn answers(&self) -> bool {
        let lives = self.process().is_some_and(|process| process.exited().is_none());
        lives && self.upstream().is_some()
    }

    /// Whether its process found the configuration that holds now.
    pub(super) fn is_configured(&self, root: &Root) -> bool {
        let holds = node::rendering(root, self.version());
        self.process().is_some_and(|process| holds.is_ok_and(|holds| holds == process.config))
    }

    /// Marks it as down; tells the upstream that is no more.
    pub(super) fn down(&self) -> Option<Arc<Upstream>> {
        match self.phase.replace(Phase::Down) {
            Phase::Up(upstream) => Some(upstream),
            Phase::Starting | Phase::Down => None,
        }
    }

    /// Starts a process. Once begun this goes on where whoever waits for it is called off: a process
    /// that nobody knew of would run for ever.
    pub(super) async fn start(self: &Rc<Self>, ground: &Ground) -> Result<(), Fault> {
        let cannot = |error: io::Error| NotStarted::from(error).fault(self.version());
        let node = ground.settings();
        let who = Who::look_up(node.user.as_deref(), node.group.as_deref()).map_err(cannot)?;
        let address = self.address(ground, &node, who.as_ref()).map_err(cannot)?;
        let config = node::rendering(&ground.root, self.version())
            .map_err(|error| cannot(io::Error::other(error)))?;
        let launch = Launch { config, ..self.recipe.launch(&ground.root, &node, who, address) };
        tracing::info!(
            version = %launch.version, address = %launch.address, command = ?launch.command,
            "starting the service"
        );
        let starting = self.starting.clone().lock_owned().await;
        if self.ended.get() {
            return Err(Fault::OutOfTurn(format!("{} is being ended", self.version())));
        }
        let (service, root) = (self.clone(), ground.root.clone());
        let started = tokio::task::spawn_local(async move {
            let process = Process::start(launch, &root).await?;
            *service.process.borrow_mut() = Some(Rc::new(process));
            drop(starting);
            Ok::<_, NotStarted>(())
        });
        let started = started.await.unwrap_or_else(|error| Err(io::Error::other(error).into()));
        started.map_err(|failed: NotStarted| failed.fault(self.version()))
    }

    /// Waits until no process is being started.
    pub(super) async fn settled(&self) {
        drop(self.starting.lock().await);
    }

    /// Takes on the process of an earlier gate, if it still lives.
    pub(super) fn adopt(&self, ground: &Ground, record: &Record) -> Option<Rc<Process>> {
        let node = ground.node.borrow();
        // For records that do not say whom it runs as.
        let who = Who::look_up(node.user.as_deref(), node.group.as_deref()).ok().flatten();
        let launch = self.recipe.launch(&ground.root, &node, who, record.address.clone());
        let process = Rc::new(Process::adopt(launch, record, &ground.root)?);
        *self.process.borrow_mut() = Some(process.clone());
        Some(process)
    }

    /// Waits until its process is healthy.
    pub(super) async fn wait_healthy(&self, ground: &Ground) -> Result<Duration, Fault> {
        let version = self.version().clone();
        let Some(process) = self.process() else {
            return Err(Fault::OutOfTurn(format!("{version} was not started")));
        };
        match health::wait(&process).await {
            Ok(took) => {
                // One that went on serving all the time has requests in flight.
                if self.upstream().is_none() {
                    let upstream = self.new_upstream(&process, ground);
                    *self.phase.borrow_mut() = Phase::Up(Arc::new(upstream));
                }
                Ok(took)
            }
            Err(ill) => Err(self.fault(&process, ill, "")),
        }
    }

    /// Waits until it is healthy. Where somebody else took the port that was free for it, it is
    /// started again on another one.
    pub(super) async fn come_up(self: &Rc<Self>, ground: &Ground) -> Result<Duration, Fault> {
        for _ in 1..STARTS {
            match self.wait_healthy(ground).await {
                // One that serves has its place.
                Err(fault) if fault.is_displaced() && self.upstream().is_none() => {
                    tracing::warn!("{fault}; it is started again on another port");
                    if let Some(process) = self.process() {
                        process.stop().await;
                    }
                    self.start(ground).await?;
                }
                healthy => return healthy,
            }
        }
        self.wait_healthy(ground).await
    }

    /// What it is to whoever asked that its process is ill, which it was not `before`.
    fn fault(&self, process: &Process, ill: Ill, before: &str) -> Fault {
        let version = self.version().clone();
        match ill {
            Ill::Displaced(why) => why.fault(&version),
            Ill::Service(reason) => Fault::Unhealthy {
                version,
                reason: format!("{before}{reason}"),
                log_tail: process.log_tail(),
            },
        }
    }

    fn new_upstream(&self, process: &Process, ground: &Ground) -> Upstream {
        let address = process.launch.address.clone();
        let answer_within = process.launch.node.answer_within;
        Upstream::new(self.version().clone(), address, ground.lanes)
            .that_answers_within(answer_within.map(Period::as_duration))
            .guarded_by(process.guard.clone())
    }

    /// Watches over its `process`, healthy `since` then, for as long as its release says; else says
    /// what happened.
    pub(super) async fn stay_healthy(
        &self,
        process: &Process,
        since: Instant,
    ) -> Result<(), Fault> {
        let stay = process.launch.health.stay.as_duration();
        let broken = tokio::select! {
            biased;
            exited = process.ended() => Some(Ill::Service(exited.to_string())),
            () = tokio::time::sleep(stay.saturating_sub(since.elapsed())) => {
                health::look(process).await.err()
            }
        };
        match broken {
            None => Ok(()),
            Some(ill) => Err(self.fault(process, ill, "it was healthy at first, and then: ")),
        }
    }

    /// Leaves its process to another gate.
    pub(super) fn let_go(&self) {
        if let Some(keeper) = self.keeper.borrow_mut().take() {
            keeper.abort();
        }
        if let Some(process) = self.process() {
            process.let_go();
        }
    }

    /// Lets requests in flight finish, then ends the process. No view may show it any more.
    pub(super) async fn end(&self) -> Option<Arc<Upstream>> {
        self.ended.set(true);
        if let Some(keeper) = self.keeper.borrow_mut().take() {
            keeper.abort();
        }
        let (version, limit) = (self.version(), self.drain_limit());
        let upstream = self.upstream();
        if let Some(upstream) = &upstream {
            upstream.close();
            let left = upstream.drained(limit).await;
            if left > 0 {
                tracing::warn!(%version, left, ?limit, "requests were still in flight");
            }
        }
        self.settled().await;
        if let Some(process) = self.process() {
            match process.stop().await {
                Ended::Before => {}
                Ended::Asked => tracing::info!(%version, "the service ended"),
                Ended::Killed => {
                    tracing::warn!(%version, ?limit, "the service did not end and was killed");
                }
            }
        }
        self.down().or(upstream)
    }

    fn address(
        &self,
        ground: &Ground,
        node: &NodeService,
        who: Option<&Who>,
    ) -> io::Result<Address> {
        if !self.recipe.uses_socket(node) {
            // Bound and let go of: the service binds it itself, from what the system has free.
            return Ok(Address::Tcp(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?));
        }
        let folder = ground.root.run();
        let folder = who.map_or(Ok(folder), |who| sockets_of(&ground.root, who))?;
        // One that is there may be that of a service which an earlier gate started.
        let path = loop {
            let number = ground.serial.replace(ground.serial.get() + 1);
            let path = folder.join(format!("{}-{number}.sock", self.version()));
            if path.symlink_metadata().is_err() {
                break path;
            }
        };
        match path.as_os_str().len() {
            0..=LONGEST_SOCKET => Ok(Address::Unix(path)),
            length => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{} has {length} bytes; a unix socket's path may have {LONGEST_SOCKET}",
                    path.display()
                ),
            )),
        }
    }
}

/// Whether a command stands in the place of `health`.
fn replaces_health(stages: &Stages) -> bool {
    let health = BuiltIn::Health.name();
    stages.get(&health).is_some_and(|entry| entry.run.is_some())
}

/// The same, by the node's settings.
fn node_replaces_health(root: &Root) -> bool {
    let text = fs::read_to_string(root.node_toml()).unwrap_or_default();
    NodeToml::parse(&text).is_ok_and(|settings| replaces_health(&settings.stage))
}

/// A folder that a service's own user may make its socket in; `run/` itself is the gate's alone.
fn sockets_of(root: &Root, who: &Who) -> io::Result<PathBuf> {
    let folder = root.run().join("sockets");
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::os::unix::fs::lchown(&folder, Some(who.uid), Some(who.gid))?;
    Ok(folder)
}

/// When to start a service again that ended by itself.
#[derive(Debug)]
pub(super) struct Patience {
    pause: Duration,
}

impl Patience {
    /// As after a good start.
    pub(super) fn new() -> Self {
        Self { pause: PAUSES.0 }
    }

    /// The pause before the next start, after a process that was healthy for `healthy`.
    pub(super) fn next(&mut self, healthy: Duration) -> Duration {
        if healthy >= STABLE {
            self.pause = PAUSES.0;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES.1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_health_has_lasted() {
        let mut patience = Patience::new();
        let pauses: Vec<_> = (0..4).map(|_| patience.next(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800]);
        for _ in 0..10 {
            patience.next(STABLE / 2);
        }
        assert_eq!(patience.next(Duration::ZERO), PAUSES.1);
        assert_eq!(patience.next(STABLE), PAUSES.0);
    }
}
