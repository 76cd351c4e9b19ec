//! The listening socket and the threads that serve it.
//!
//! The socket is bound once, so that a port in use is an error and not a lottery, and shared by one
//! single-threaded runtime a core. A connection belongs to the thread that has the fewest, for as
//! long as it lasts; nothing on a request's way crosses threads.
//!
//! Limits: hyper's own (100 header fields, heads of about 400 KiB), and 30 s for a head to arrive,
//! which also ends connections that stay idle for as long.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::LocalRuntime;
use tokio::sync::{mpsc, watch};

use super::GateError;
use super::headers::Client;
use super::proxy::Worker;
use super::view::Shared;

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// How long to wait after the system had no means to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds the address that clients reach.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, GateError> {
    let failed = |why| GateError::Listen { address, why };
    // The standard library sets SO_REUSEADDR.
    let listener = TcpListener::bind(address).map_err(failed)?;
    rustix::net::listen(&listener, BACKLOG).map_err(|errno| failed(errno.into()))?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// How many threads serve.
pub(super) fn lanes() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The threads that serve, until they are told to end.
#[derive(Debug)]
pub(super) struct Listeners {
    threads: Vec<JoinHandle<()>>,
    closing: watch::Sender<Option<Duration>>,
    done: mpsc::Receiver<()>,
}

impl Listeners {
    /// Starts to serve.
    pub(super) fn start(listener: &TcpListener, shared: &Arc<Shared>) -> Result<Self, GateError> {
        let failed = |why| GateError::Io { what: "starting a thread".to_owned(), why };
        let (closing, _) = watch::channel(None);
        let (alive, done) = mpsc::channel(1);
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..lanes()).map(|_| mpsc::unbounded_channel()).unzip();
        let desk = Arc::new(Desk {
            loads: senders.iter().map(|_| AtomicUsize::new(0)).collect(),
            senders,
        });
        let mut threads = Vec::new();
        for (lane, arrivals) in receivers.into_iter().enumerate() {
            let thread = Thread {
                lane,
                listener: listener.try_clone().map_err(failed)?,
                arrivals,
                desk: desk.clone(),
                shared: shared.clone(),
                closing: closing.subscribe(),
            };
            let alive = alive.clone();
            let builder = std::thread::Builder::new().name(format!("gate-{lane}"));
            let handle = builder.spawn(move || {
                let _alive = alive;
                if let Err(error) = thread.run() {
                    tracing::error!(lane, %error, "a thread of the gate ended");
                }
            });
            threads.push(handle.map_err(failed)?);
        }
        Ok(Self { threads, closing, done })
    }

    /// Accepts nothing more, lets requests in flight finish for at most `limit`, and ends.
    pub(super) async fn drain(mut self, limit: Duration) {
        self.closing.send_replace(Some(limit));
        // Each thread holds a sender; none ever sends.
        self.done.recv().await;
        for thread in self.threads {
            // What a thread had to say it has logged.
            drop(thread.join());
        }
    }
}

/// Who has how many connections, and how to hand one over.
#[derive(Debug)]
struct Desk {
    loads: Vec<AtomicUsize>,
    senders: Vec<mpsc::UnboundedSender<(TcpStream, SocketAddr)>>,
}

impl Desk {
    /// Counts a connection in where there are fewest, `lane` where it is no worse than others.
    fn assign(&self, lane: usize) -> usize {
        let load = |lane: usize| self.loads[lane].load(Ordering::Relaxed);
        let least = (0..self.loads.len()).min_by_key(|&other| (load(other), other != lane));
        let chosen = least.unwrap_or(lane);
        self.loads[chosen].fetch_add(1, Ordering::Relaxed);
        chosen
    }

    fn hand_over(&self, stream: tokio::net::TcpStream, peer: SocketAddr, lane: usize) {
        match stream.into_std() {
            // Fails only while the gate ends.
            Ok(stream) => drop(self.senders[lane].send((stream, peer))),
            Err(error) => self.lost(lane, &error),
        }
    }

    fn lost(&self, lane: usize, error: &std::io::Error) {
        self.loads[lane].fetch_sub(1, Ordering::Relaxed);
        tracing::warn!(%error, "cannot hand a connection over");
    }
}

struct Thread {
    lane: usize,
    listener: TcpListener,
    arrivals: mpsc::UnboundedReceiver<(TcpStream, SocketAddr)>,
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    closing: watch::Receiver<Option<Duration>>,
}

impl Thread {
    fn run(self) -> std::io::Result<()> {
        let runtime = LocalRuntime::new()?;
        runtime.block_on(self.serve())
    }

    async fn serve(mut self) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let open = Rc::new(Connections::new(Worker::new(self.shared, self.lane)));
        let limit = loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => match self.desk.assign(self.lane) {
                        lane if lane == self.lane => open.spawn(stream, peer, &self.desk, lane),
                        lane => self.desk.hand_over(stream, peer, lane),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some((stream, peer)) = self.arrivals.recv() => {
                    match tokio::net::TcpStream::from_std(stream) {
                        Ok(stream) => open.spawn(stream, peer, &self.desk, self.lane),
                        Err(error) => self.desk.lost(self.lane, &error),
                    }
                }
                Ok(limit) = self.closing.wait_for(Option::is_some) => {
                    break limit.unwrap_or_default();
                }
            }
        };
        drop(listener);
        open.close(limit).await;
        Ok(())
    }
}

/// The connections of one thread.
struct Connections {
    worker: Rc<Worker>,
    builder: Builder,
    closing: Cell<bool>,
    count: Cell<usize>,
    /// To have every connection look at `closing`: the task of each, by a number of its own.
    tasks: RefCell<std::collections::HashMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Connections {
    fn new(worker: Worker) -> Self {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let (closing, count, next) = (Cell::new(false), Cell::new(0), Cell::new(0));
        let (worker, tasks) = (Rc::new(worker), RefCell::default());
        Self { worker, builder, closing, count, tasks, next }
    }

    fn spawn(
        self: &Rc<Self>,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        desk: &Arc<Desk>,
        lane: usize,
    ) {
        let (connections, desk) = (self.clone(), desk.clone());
        self.count.set(self.count.get() + 1);
        tokio::task::spawn_local(async move {
            connections.serve(stream, peer).await;
            connections.count.set(connections.count.get() - 1);
            desk.loads[lane].fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn serve(&self, stream: tokio::net::TcpStream, peer: SocketAddr) {
        // Fails only on a connection that is gone already.
        drop(stream.set_nodelay(true));
        let client = Rc::new(Client::new(peer.ip()));
        let service =
            service_fn(|request| Worker::answer(self.worker.clone(), client.clone(), request));
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection.with_upgrades());
        let number = self.next.replace(self.next.get() + 1);
        let mut told = false;
        let mut registered = false;
        let ended = poll_fn(|cx| {
            if !registered {
                self.tasks.borrow_mut().insert(number, cx.waker().clone());
                registered = true;
            }
            if self.closing.get() && !told {
                connection.as_mut().graceful_shutdown();
                told = true;
            }
            connection.as_mut().poll(cx)
        });
        if let Err(error) = ended.await {
            tracing::debug!(%peer, %error, "a connection ended");
        }
        self.tasks.borrow_mut().remove(&number);
    }

    async fn close(&self, limit: Duration) {
        self.closing.set(true);
        for task in self.tasks.borrow().values() {
            task.wake_by_ref();
        }
        let deadline = tokio::time::Instant::now() + limit;
        while self.count.get() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
