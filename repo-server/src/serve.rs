//! Sockets, workers, and the end.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cutover_formats::exit::Exit;
use cutover_terminal::Failure;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::args::Args;
use crate::metrics::Keeps;
use crate::site::Site;
use crate::stall::Stall;
use crate::tokens::Tokens;
use crate::{keeper, route};

/// How long a client may take for its headers, or be idle between two requests.
const HEADERS: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what is sent to it.
const TAKES: Duration = Duration::from_secs(60);
/// How long requests under way may take to end when the server is told to.
const GRACE: Duration = Duration::from_secs(30);
/// Pause when the process is out of file descriptors or memory for another connection.
const OVERLOAD: Duration = Duration::from_millis(100);

/// Serves until a signal says to stop.
pub fn run(args: &Args) -> Result<(), Failure> {
    let store = args.store.as_deref().unwrap_or(Path::new("."));
    let tokens = args.tokens.as_deref().map(Tokens::read).transpose()?;
    let keyring = args.online_keys.as_deref().map(keeper::open).transpose()?;
    let keeps = if keyring.is_some() { Keeps::OnlineKeys } else { Keeps::Files };
    let site = Arc::new(Site::open(store, tokens, args.max_upload, keeps)?);
    let (listener, address) = bind(&args.listen)?;
    let main = runtime()?;
    let stop = main.block_on(async { signals() })?;
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let connections = usize::try_from(args.max_connections).unwrap_or(Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(connections.clamp(1, Semaphore::MAX_PERMITS)));
    let threads = (0..workers)
        .map(|_| {
            let worker = Worker { site: site.clone(), slots: slots.clone(), stop: stop.clone() };
            let listener = listener.try_clone().map_err(unexpected)?;
            let runtime = runtime()?;
            Ok(std::thread::spawn(move || runtime.block_on(worker.serve(listener))))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let (keeping, ends) = mpsc::channel();
    let kept = site.clone();
    let keeper = std::thread::spawn(move || keeper::run(&kept, keyring.as_ref(), &ends));
    announce(address);
    let mut stopped = stop;
    main.block_on(async { stopped.wait_for(|stop| *stop).await.map(|_| ()) })
        .map_err(unexpected)?;
    drop((listener, keeping));
    for thread in threads {
        thread
            .join()
            .map_err(|_| Failure::new(Exit::Unexpected, "a worker ended by a panic"))?
            .map_err(unexpected)?;
    }
    keeper.join().map_err(|_| Failure::new(Exit::Unexpected, "the keeper ended by a panic"))?;
    tracing::info!("stopped");
    Ok(())
}

fn unexpected(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Unexpected, error.to_string())
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(unexpected)
}

fn bind(listen: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = TcpListener::bind(listen).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|error| {
        let failure = Failure::new(Exit::Usage, format!("cannot listen on {listen}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                failure.hint("another program listens there; choose another port with --listen")
            }
            std::io::ErrorKind::InvalidInput => {
                failure.hint("give an address and a port, e.g. --listen 127.0.0.1:8080")
            }
            _ => failure,
        }
    })
}

/// The one line on stdout. Whoever started this waits for it; if nobody reads it, nobody minds.
fn announce(address: SocketAddr) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "listening on http://{address}").and_then(|()| stdout.flush());
}

/// Becomes true on SIGTERM or SIGINT.
fn signals() -> Result<watch::Receiver<bool>, Failure> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(unexpected)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unexpected)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = sender.send(true);
        sender.closed().await;
    });
    Ok(receiver)
}

/// Waits until it is told to stop. (Nobody being left to tell means the same.)
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One thread's share of the work.
struct Worker {
    site: Arc<Site>,
    slots: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Worker {
    async fn serve(mut self, listener: TcpListener) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut connections = tokio::task::JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            // The semaphore is never closed.
            let Ok(slot) = self.slots.clone().acquire_owned().await else { break };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let serving = connection(stream, peer, self.site.clone(), self.stop.clone());
                        connections.spawn(async move {
                            serving.await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(OVERLOAD).await;
                    }
                },
                () = told(&mut self.stop) => break,
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("stopped before all requests had ended");
        }
        Ok(())
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    site: Arc<Site>,
    mut stop: watch::Receiver<bool>,
) {
    // Without it answers only come later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| route::answer(site.clone(), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(Stall::new(stream, TAKES)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, "connection: {error}");
    }
}
