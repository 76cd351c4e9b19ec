//! The gate's life: lock, bind, tidy up, serve, drain.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cutover_formats::node_toml::NodeToml;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};

use super::launch::LONGEST_SOCKET;
use super::listen::{self, Listeners};
use super::protocol::Maintenance;
use super::service::Ground;
use super::supervisor::{Supervisor, first_view};
use super::view::Shared;
use super::{
    GateError, activation, control, history, identity, maintenance, metrics, notify, reload,
};
use crate::root::Root;

/// Files that the gate would like to have open at once: two for each request.
const FILES: u64 = 65_536;

/// Runs the gate of `root` until SIGTERM or SIGINT, then drains, stops the service and returns.
pub fn run(root: &Root, settings: &NodeToml) -> Result<(), GateError> {
    let gate = settings.gate.clone().ok_or_else(|| GateError::NoGate(root.node_toml()))?;
    let socket = root.control();
    if socket.with_extension("sock.new").as_os_str().len() > LONGEST_SOCKET {
        return Err(GateError::PathTooLong(socket));
    }
    for folder in [root.run(), root.state()] {
        fs::create_dir_all(&folder).map_err(|why| at(&folder, why))?;
    }
    let _lock = lock(root)?;
    let (listener, address) = listener(gate.listen)?;
    raise_file_limit();
    let ground = Ground {
        root: root.clone(),
        node: settings.service.clone(),
        lanes: listen::lanes(),
        serial: Cell::new(0),
    };
    let metrics_address = gate.metrics;
    let pages = reload::pages(root, &gate)?;
    let view = first_view(history::load(root));
    let shared = Arc::new(Shared::new(gate, pages, listen::lanes(), view));
    shared.assets.restock(root);
    let runtime = LocalRuntime::new().map_err(|why| at(root.path(), why))?;
    runtime.block_on(async {
        let control = control::bind(&socket).map_err(|why| at(&socket, why))?;
        let supervisor = Supervisor::new(ground, shared.clone(), address);
        supervisor.obey(remembered_maintenance(root));
        supervisor.inherit().await.map_err(|why| at(&root.run(), why))?;
        let listeners = Listeners::start(&listener, &shared)?;
        reload::start(&supervisor).map_err(|why| at(root.path(), why))?;
        drop(listener);
        if let Some(address) = metrics_address {
            tokio::task::spawn_local(metrics::serve(address, supervisor.clone()));
        }
        tracing::info!(%address, pid = std::process::id(), "the gate listens");
        supervisor.manager.tell("READY=1");
        if let Some(period) = notify::watchdog() {
            tokio::task::spawn_local(sign_of_life(supervisor.clone(), period / 2));
        }
        live(&supervisor, listeners, control).await.map_err(|why| at(root.path(), why))?;
        identity::remove(&socket);
        tracing::info!("the gate has ended");
        Ok(())
    })
}

async fn live(
    supervisor: &Rc<Supervisor>,
    listeners: Listeners,
    control: UnixListener,
) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let serving = tokio::task::spawn_local(control::serve(control, supervisor.clone()));
    let name = tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    };
    let limit = supervisor.drain_limit();
    supervisor.manager.tell("STOPPING=1");
    tracing::info!(?limit, "drain: got {name}, letting requests in flight finish");
    serving.abort();
    supervisor.close();
    listeners.drain(limit).await;
    supervisor.end_all().await;
    Ok(())
}

/// The service manager's socket, or one of our own.
fn listener(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), GateError> {
    let Some(handed) = activation::socket().map_err(GateError::Activation)? else {
        let listener = listen::bind(wanted)?;
        let address =
            listener.local_addr().map_err(|why| GateError::Listen { address: wanted, why })?;
        return Ok((listener, address));
    };
    handed.set_nonblocking(true).map_err(GateError::Activation)?;
    match handed.local_addr().map_err(GateError::Activation)? {
        address if address == wanted => Ok((handed, address)),
        handed => Err(GateError::Elsewhere { handed, wanted }),
    }
}

/// Ends with the thread that decides what runs, or when that thread is stuck.
async fn sign_of_life(supervisor: Rc<Supervisor>, period: Duration) {
    loop {
        supervisor.manager.tell("WATCHDOG=1");
        tokio::time::sleep(period).await;
    }
}

/// Where the record cannot be read, the site stays closed: somebody had a reason to close it.
fn remembered_maintenance(root: &Root) -> Option<Maintenance> {
    maintenance::load(root, Timestamp::now()).unwrap_or_else(|error| {
        let path = root.maintenance();
        tracing::error!(path = %path.display(), %error, "closed: cannot tell until when");
        Some(Maintenance::default())
    })
}

/// One gate per root. The lock ends with the process, however that ends.
fn lock(root: &Root) -> Result<File, GateError> {
    let path = root.gate_lock();
    let failed = |why| at(&path, why);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if errno != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(errno.into()));
        }
        let mut pid = String::new();
        file.take(20).read_to_string(&mut pid).map_err(failed)?;
        let pid = pid.trim().to_owned();
        return Err(GateError::AlreadyRunning { root: root.path().to_owned(), pid });
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
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

fn at(path: &Path, why: io::Error) -> GateError {
    GateError::Io { what: path.display().to_string(), why }
}
