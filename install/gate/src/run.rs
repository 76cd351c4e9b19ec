//! The gate's life: lock and bind, or take another gate's place; go on or start; serve; drain.

use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cutover_formats::node_toml::{Gate, NodeToml};
use cutover_formats::version::Version;
use cutover_node::disk::record;
use cutover_node::maintenance;
use cutover_node::root::Root;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::access_log::AccessLog;
use super::listen::{self, Farewell, Listeners, Manner};
use super::log_files::LogFiles;
use super::protocol::Fault;
use super::service::{Ground, Source};
use super::succession::{self, Estate, Inheritance, Predecessor};
use super::supervisor::{LAST_REQUESTS, Supervisor, first_view};
use super::tasks;
use super::view::{HEARTBEAT, Shared};
use super::{GateError, activation, control, history, identity, metrics, notify, reload};

/// Files that the gate would like to have open at once: two for each request.
const FILES: u64 = 65_536;

/// How a gate comes to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The place is free; it is an error where it is not.
    First,
    /// It takes the place of the gate that runs, if one does.
    Replace,
    /// The same, and its log goes where that of the gate before went: whoever started it goes away.
    ReplaceInBackground,
}

/// Runs the gate of `root` until SIGTERM or SIGINT, then drains, stops the service and returns; or
/// until another gate has taken over, and the last request has ended.
pub fn run(root: &Root, settings: &NodeToml, entrance: Entrance) -> Result<(), GateError> {
    let gate = settings.gate.clone().ok_or_else(|| GateError::NoGate(root.node_toml()))?;
    super::check_path(root)?;
    for folder in [root.run(), root.state()] {
        fs::create_dir_all(&folder).map_err(|why| GateError::at(&folder, why))?;
    }
    let pages = reload::pages(root, &gate)?;
    let log = access_log(root, &gate)?;
    let (estate, before) = settle_in(root, gate.listen, entrance)?;
    let address = estate.address().map_err(|why| GateError::at(root.path(), why))?;
    raise_file_limit();
    let ground = Ground {
        root: root.clone(),
        node: RefCell::new(settings.service.clone()),
        source: Source::File,
        lanes: listen::lanes(),
        serial: Cell::new(0),
    };
    let view = first_view(history::load(root));
    let shared = Arc::new(Shared::new(gate, pages, log.clone(), listen::lanes(), view));
    shared.assets.restock(root);
    let runtime = LocalRuntime::new().map_err(|why| GateError::at(root.path(), why))?;
    let lived = runtime.block_on(async {
        let failed = |why| GateError::at(root.path(), why);
        // From here on there may be a service, which is not left behind.
        let told = Told::listen().map_err(failed)?;
        let supervisor = Supervisor::new(ground, shared, estate, address);
        let tell = |words: &str| tracing::error!("{words}");
        tasks::spawn("the heartbeat", beat(supervisor.shared.clone()));
        supervisor.obey(maintenance::load(root, Timestamp::now(), tell));
        let (listeners, control) = begin(&supervisor, before).await?;
        live(&supervisor, listeners, control, told).await
    });
    // Whatever this gate had is another's by then, also where its log stands still.
    drop(runtime);
    if let Some(log) = log {
        log.end();
    }
    lived
}

fn access_log(root: &Root, settings: &Gate) -> Result<Option<Arc<AccessLog>>, GateError> {
    let Some(settings) = &settings.access_log else { return Ok(None) };
    let path = root.path().join(&settings.file);
    let files = LogFiles::new(path, settings.size.bytes(), settings.files.get());
    let failed = |why| GateError::Io { what: "the access log".to_owned(), why };
    AccessLog::start(files, settings.queue.bytes()).map(Some).map_err(failed)
}

/// What only one gate can have; and where it comes from another gate, that one.
fn settle_in(
    root: &Root,
    listen: SocketAddr,
    entrance: Entrance,
) -> Result<(Estate, Option<Before>), GateError> {
    let inherited = match entrance {
        Entrance::First => None,
        Entrance::Replace | Entrance::ReplaceInBackground => {
            succession::inherit(root).map_err(GateError::Succession)?
        }
    };
    let Some(Inheritance { estate, healthy, predecessor, umask, log }) = inherited else {
        let lock = lock(root)?;
        let records = [history::path(root), root.maintenance()];
        let swept = records.iter().try_for_each(|record| record::sweep(record));
        if let Err(error) = swept.map_err(io::Error::from).and_then(|()| identity::sweep(root)) {
            // That keeps no gate from serving; the next one, and every install, tries it again.
            tracing::warn!(%error, "cannot remove what an earlier gate left");
        }
        return Ok((Estate::new(listener(listen)?, lock), None));
    };
    let address = estate.address().map_err(|why| GateError::at(root.path(), why))?;
    if address != listen {
        // Its place is another one from now on.
        estate.listener.replace(Some(listen::bind(listen)?));
    }
    // Nothing is its caller's.
    let in_background = entrance == Entrance::ReplaceInBackground;
    cutover_node::umask::inherit(umask.filter(|_| in_background));
    let log = log.filter(|_| in_background);
    Ok((estate, Some(Before { healthy, predecessor, log })))
}

/// The gate that runs until this one has taken over.
struct Before {
    healthy: Option<Version>,
    predecessor: Predecessor,
    /// Where the log goes from the moment on at which this gate has taken over.
    log: Option<OwnedFd>,
}

/// From the first look around to the first request.
async fn begin(
    supervisor: &Rc<Supervisor>,
    before: Option<Before>,
) -> Result<(Listeners, UnixListener), GateError> {
    let root = &supervisor.ground.root;
    match &before {
        Some(before) => supervisor.succeed(before.healthy.as_ref()).await?,
        None => {
            bind_control(supervisor)?;
            supervisor.inherit().await.map_err(|why| GateError::at(&root.run(), why))?;
        }
    }
    let listeners = match &*supervisor.estate.listener.borrow() {
        Some(listener) => Listeners::start(listener, &supervisor.shared)?,
        None => return Err(GateError::at(root.path(), io::ErrorKind::NotConnected.into())),
    };
    let pid = std::process::id();
    let mut ready = "READY=1".to_owned();
    if let Some(Before { predecessor, log, .. }) = before {
        if supervisor.estate.control.borrow().is_none() {
            bind_control(supervisor)?;
        }
        // One that was killed leaves its socket; one that ended in order has ended the service, too.
        let ended =
            || Fault::OutOfTurn("it has ended meanwhile, and its service with it".to_owned());
        let there = || root.control().symlink_metadata().is_ok();
        let left = predecessor.dismiss().and_then(|()| there().then_some(()).ok_or_else(ended));
        if let Err(fault) = left {
            // All that it was about to hand over is the other's, or nobody's.
            supervisor.withdraw();
            let limit = supervisor.drain_limit();
            listeners.drain(Farewell { limit, manner: Manner::Brisk }).await;
            return Err(GateError::Succession(fault.into()));
        }
        if let Some(log) = log {
            nix::unistd::dup2_stderr(log).map_err(|why| GateError::at(root.path(), why.into()))?;
        }
        supervisor.withdraw_offer();
        *supervisor.predecessor.borrow_mut() = Some(predecessor);
        supervisor.inherit().await.map_err(|why| GateError::at(&root.run(), why))?;
        ready = format!("MAINPID={pid}\nREADY=1");
    }
    sign(&supervisor.estate).map_err(|why| GateError::at(&root.gate_lock(), why))?;
    let control = control_socket(supervisor).map_err(|why| GateError::at(&root.control(), why))?;
    reload::start(supervisor).map_err(|why| GateError::at(root.path(), why))?;
    tracing::info!(address = %supervisor.listen, pid, "the gate listens");
    supervisor.manager.tell(&ready);
    if let Some(period) = notify::watchdog() {
        tasks::spawn("the watchdog", sign_of_life(supervisor.clone(), period / 2));
    }
    Ok((listeners, control))
}

/// Makes the control socket, in place of one that is there.
fn bind_control(supervisor: &Supervisor) -> Result<(), GateError> {
    let path = supervisor.ground.root.control();
    let control = control::bind(&path).map_err(|why| GateError::at(&path, why))?;
    supervisor.estate.control.replace(Some(control));
    Ok(())
}

/// The control socket, to be served on.
fn control_socket(supervisor: &Supervisor) -> io::Result<UnixListener> {
    let control = supervisor.estate.control.borrow();
    let control = control.as_ref().ok_or(io::ErrorKind::NotConnected)?.try_clone()?;
    // Whoever connects is told from here on that this process is at the other end.
    rustix::net::listen(&control, control::BACKLOG)?;
    UnixListener::from_std(control)
}

/// Being told to end.
struct Told {
    term: Signal,
    int: Signal,
}

impl Told {
    fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// The signal that says so.
    async fn ending(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

async fn live(
    supervisor: &Rc<Supervisor>,
    listeners: Listeners,
    control: UnixListener,
    mut told: Told,
) -> Result<(), GateError> {
    let serving = tasks::spawn("the control socket", control::serve(control, supervisor.clone()));
    let numbers = supervisor
        .shared
        .settings
        .metrics
        .map(|address| tasks::spawn("metrics", metrics::serve(address, supervisor.clone())));
    let name = tokio::select! {
        biased;
        // Whoever is told to end at the same moment has nothing any more that it could end.
        () = supervisor.succession.notified() => {
            serving.abort();
            numbers.iter().for_each(tokio::task::JoinHandle::abort);
            supervisor.estate.let_go();
            leave(supervisor, listeners, told).await;
            return Ok(());
        }
        name = told.ending() => name,
        part = tasks::failed() => {
            serving.abort();
            give_up(supervisor, listeners).await;
            return Err(GateError::PartFailed(part));
        }
    };
    serving.abort();
    let limit = supervisor.drain_limit();
    supervisor.manager.tell("STOPPING=1");
    tracing::info!(?limit, "drain: got {name}, letting requests in flight finish");
    supervisor.close();
    // Else clients and installers would go on knocking where nobody opens.
    supervisor.estate.listener.take();
    supervisor.estate.control.take();
    listeners.drain(Farewell { limit, manner: Manner::Brisk }).await;
    supervisor.outlive_predecessor().await;
    supervisor.end_all().await;
    // Only whoever has the lock makes one there, so that it is this gate's own.
    identity::remove(&supervisor.ground.root.control());
    tracing::info!("the gate has ended");
    Ok(())
}

/// What is left of this gate lets its last requests finish, and leaves the service to the next gate.
async fn give_up(supervisor: &Supervisor, listeners: Listeners) {
    supervisor.estate.listener.take();
    supervisor.estate.control.take();
    let limit = supervisor.drain_limit();
    listeners.drain(Farewell { limit, manner: Manner::Brisk }).await;
}

/// Another gate has taken over, also the service: this one ends with its last request.
async fn leave(supervisor: &Supervisor, listeners: Listeners, mut told: Told) {
    tracing::info!("drain: another gate has taken over");
    let hurry = async {
        tokio::select! {
            () = supervisor.succession.notified() => {}
            _ = told.ending() => {}
        }
        tokio::time::sleep(supervisor.drain_limit()).await;
    };
    tokio::select! {
        () = listeners.drain(Farewell { limit: LAST_REQUESTS, manner: Manner::Polite }) => {}
        () = hurry => tracing::warn!("requests were still in flight"),
    }
    tracing::info!("the gate has ended");
}

/// The service manager's socket, or one of our own.
fn listener(wanted: SocketAddr) -> Result<TcpListener, GateError> {
    let Some(handed) = activation::socket().map_err(GateError::Activation)? else {
        return listen::bind(wanted);
    };
    handed.set_nonblocking(true).map_err(GateError::Activation)?;
    match handed.local_addr().map_err(GateError::Activation)? {
        address if address == wanted => Ok(handed),
        handed => Err(GateError::Elsewhere { handed, wanted }),
    }
}

/// Tells threads that serve that the one that decides what runs goes on.
async fn beat(shared: Arc<Shared>) {
    loop {
        shared.heartbeat.beat();
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Ends with the thread that decides what runs, or when that thread is stuck.
async fn sign_of_life(supervisor: Rc<Supervisor>, period: Duration) {
    loop {
        supervisor.manager.tell("WATCHDOG=1");
        tokio::time::sleep(period).await;
    }
}

/// One gate per root. The lock ends with the process, however that ends.
fn lock(root: &Root) -> Result<File, GateError> {
    let path = root.gate_lock();
    let failed = |why| GateError::at(&path, why);
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            file.take(20).read_to_string(&mut pid).map_err(failed)?;
            let pid = pid.trim().to_owned();
            Err(GateError::AlreadyRunning { root: root.path().to_owned(), pid })
        }
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Says in the lock who holds it. The file may be open in another gate, at another place.
fn sign(estate: &Estate) -> io::Result<()> {
    let lock = estate.lock.borrow();
    let lock = lock.as_ref().ok_or(io::ErrorKind::NotConnected)?;
    lock.set_len(0)?;
    lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
}

/// A gate out of files refuses clients for no good reason. Services inherit the limit.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(FILES, |maximum| maximum.min(FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "cannot raise the number of open files");
        }
    }
}
