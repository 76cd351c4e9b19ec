//! Sockets, workers, and the end.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cutover_formats::exit::Exit;
use cutover_http::client::Client;
use cutover_terminal::Failure;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::connection::{self, Face, told};
use crate::keeper;
use crate::metrics::Keeps;
use crate::site::Site;

/// Most connections at once to the address for metrics.
const METRICS_CONNECTIONS: u32 = 16;
/// Clients that are told at the same time why they are turned away.
const FAREWELLS: u32 = 64;
/// How long requests under way may take to end when the server is told to.
const GRACE: Duration = Duration::from_secs(30);
/// Pause when the process is out of file descriptors or memory for another connection.
const OVERLOAD: Duration = Duration::from_millis(100);

/// Serves until a signal says to stop.
pub fn run(args: &Args) -> Result<(), Failure> {
    let keyring = args.online_keys.as_deref().map(keeper::open).transpose()?;
    let keeps = if keyring.is_some() { Keeps::OnlineKeys } else { Keeps::Files };
    let site = Arc::new(Site::open(args, keeps)?);
    let (listener, address) = bind(&args.listen, "--listen")?;
    let numbers = args.metrics.as_deref().map(|at| bind(at, "--metrics")).transpose()?;
    let main = runtime()?;
    let stop = main.block_on(async { signals() })?;
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let worker = |face, connections| Worker {
        face,
        site: site.clone(),
        slots: slots(connections),
        farewells: slots(FAREWELLS),
        stop: stop.clone(),
    };
    let mut shares = vec![(worker(Face::Repository, args.max_connections), &listener); workers];
    if let Some((listener, _)) = &numbers {
        shares.push((worker(Face::Metrics, METRICS_CONNECTIONS), listener));
    }
    let threads = shares
        .into_iter()
        .map(|(worker, listener)| {
            let listener = listener.try_clone().map_err(unexpected)?;
            let runtime = runtime()?;
            Ok(std::thread::spawn(move || runtime.block_on(worker.serve(listener))))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let (keeping, ends) = mpsc::channel();
    let kept = site.clone();
    let keeper = std::thread::spawn(move || keeper::run(&kept, keyring.as_ref(), &ends));
    announce(address, numbers.as_ref().map(|(_, address)| *address));
    let mut stopped = stop;
    main.block_on(async { stopped.wait_for(|stop| *stop).await.map(|_| ()) })
        .map_err(unexpected)?;
    drop((listener, numbers, keeping));
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

fn slots(most: u32) -> Arc<Semaphore> {
    let most = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)))
}

fn unexpected(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Unexpected, error.to_string())
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(unexpected)
}

fn bind(listen: &str, option: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = TcpListener::bind(listen).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|error| {
        let failure = Failure::new(Exit::Usage, format!("cannot listen on {listen}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                let hint = "another program listens there; choose another port with";
                failure.hint(format!("{hint} {option}"))
            }
            std::io::ErrorKind::InvalidInput => {
                failure.hint(format!("give an address and a port, e.g. {option} 127.0.0.1:8080"))
            }
            _ => failure,
        }
    })
}

/// All that is written to stdout. Whoever started this waits for it; if nobody reads it, nobody minds.
fn announce(address: SocketAddr, metrics: Option<SocketAddr>) {
    let mut text = format!("listening on http://{address}\n");
    if let Some(metrics) = metrics {
        text.push_str(&format!("metrics on http://{metrics}/metrics\n"));
    }
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
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

/// One thread's share of the work.
#[derive(Clone)]
struct Worker {
    face: Face,
    site: Arc<Site>,
    slots: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Worker {
    async fn serve(mut self, listener: TcpListener) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            // The semaphore is never closed.
            let Ok(slot) = self.slots.clone().acquire_owned().await else { break };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.begin(&mut connections, stream, peer.ip(), slot),
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

    /// Serves a client, unless it has all the connections that it may have. A proxy may have any
    /// number: its requests are counted.
    fn begin(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        peer: IpAddr,
        slot: OwnedSemaphorePermit,
    ) {
        let is_counted = self.face == Face::Repository && !self.site.proxies.has(peer);
        let share = is_counted.then(|| self.site.connections.take(Client::from(peer)));
        if matches!(share, Some(None)) {
            self.site.metrics.connection_refused.fetch_add(1, Ordering::Relaxed);
            // No more than a few are told why at the same time.
            if let Ok(place) = self.farewells.clone().try_acquire_owned() {
                connections.spawn(async move {
                    connection::turn_away(stream).await;
                    drop(place);
                });
            }
            return;
        }
        let serving =
            connection::serve(stream, peer, self.face, self.site.clone(), self.stop.clone());
        connections.spawn(async move {
            serving.await;
            drop((slot, share));
        });
    }
}
