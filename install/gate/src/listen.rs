//! The listening socket and the threads that serve it.
//!
//! The socket is bound once, so that a port in use is an error and not a lottery, and shared by one
//! single-threaded runtime a core. A connection belongs to the thread that has the fewest, for as
//! long as it lasts; nothing on a request's way crosses threads.
//!
//! Limits: heads of [`LONGEST_HEAD`] with at most 100 fields, at most 30 s for a head to arrive, which
//! also ends connections that stay idle for as long, and the number of connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::LocalRuntime;
use tokio::sync::{mpsc, watch};

use super::GateError;
use super::doors::Pass;
use super::headers::Client;
use super::proxy::Worker;
use super::refusal::Refusals;
use super::stream::Stream;
use super::tasks;
use super::view::Shared;
use super::visit::{Silence, TICK, Visit};

/// How long a client may take to send the head of a request, at the most.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that a request's head may have, about what other servers take; twice as many are always
/// refused. It bounds what a client can have the gate keep before anything is known of it.
const LONGEST_HEAD: usize = 32 * 1024;

/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// Connections without room that are let read so, at once.
const MOST_LEAVING: usize = 256;

/// How long they are.
const LEAVE: Duration = Duration::from_secs(1);

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

/// How clients are let go when a gate ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Farewell {
    /// How long requests in flight may take.
    pub(super) limit: Duration,
    /// What becomes of connections that are idle.
    pub(super) manner: Manner,
}

/// What becomes of connections that are idle when a gate ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// They are closed.
    Brisk,
    /// They may ask once more, and the answer says that they will be closed: a request that is on its
    /// way at this moment is not lost. Another gate has all that come now.
    Polite,
}

/// The threads that serve, until they are told to end.
#[derive(Debug)]
pub(super) struct Listeners {
    threads: Vec<JoinHandle<()>>,
    closing: watch::Sender<Option<Farewell>>,
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
        let accepting = AtomicUsize::new(lanes());
        let desk = Arc::new(Desk {
            shared: shared.clone(),
            senders,
            accepting,
            leaving: AtomicUsize::new(0),
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
                // Else connections would be handed to a thread that is not there.
                match catch_unwind(AssertUnwindSafe(|| thread.run())) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(lane, %error, "a thread that serves ended");
                        tasks::fail("a thread that serves");
                    }
                    Err(_) => tasks::fail("a thread that serves"),
                }
            });
            threads.push(handle.map_err(failed)?);
        }
        Ok(Self { threads, closing, done })
    }

    /// Accepts nothing more, lets requests in flight finish, and ends.
    pub(super) async fn drain(mut self, farewell: Farewell) {
        self.closing.send_replace(Some(farewell));
        // Each thread holds a sender; none ever sends.
        self.done.recv().await;
        for thread in self.threads {
            // What a thread had to say it has logged.
            drop(thread.join());
        }
    }
}

/// A connection that was let in.
type Arrival = (TcpStream, SocketAddr, Pass);

/// Who is let in, and how to hand a connection over.
#[derive(Debug)]
struct Desk {
    shared: Arc<Shared>,
    senders: Vec<mpsc::UnboundedSender<Arrival>>,
    /// Threads that still accept, and may hand a connection to any other.
    accepting: AtomicUsize,
    /// Connections that were turned away and are let read why.
    leaving: AtomicUsize,
}

impl Desk {
    fn hand_over(&self, stream: tokio::net::TcpStream, peer: SocketAddr, pass: Pass) {
        match stream.into_std() {
            // Fails only while the gate ends.
            Ok(stream) => drop(self.senders[pass.lane].send((stream, peer, pass))),
            Err(error) => tracing::warn!(%error, "cannot hand a connection over"),
        }
    }

    /// Says so, as far as that can be done without waiting. Some may take a moment to read it.
    fn turn_away(self: &Arc<Self>, stream: tokio::net::TcpStream, peer: SocketAddr, lane: usize) {
        let turned_away = self.shared.doors.turned_away();
        if turned_away.is_power_of_two() {
            tracing::warn!(%peer, turned_away, "there is no room for more connections");
        }
        let seconds = 2 + turned_away % 7;
        let answer = Refusals::to(peer.ip(), &self.shared, lane).no_room(seconds);
        drop(stream.try_write(&answer));
        if self.leaving.fetch_add(1, Ordering::Relaxed) < MOST_LEAVING {
            let desk = self.clone();
            tokio::task::spawn_local(async move {
                drop(tokio::time::timeout(LEAVE, take_leave(stream)).await);
                desk.leaving.fetch_sub(1, Ordering::Relaxed);
            });
        } else {
            self.leaving.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Takes what the client sends until it closes: with something unread the connection would be reset,
/// and the answer perhaps never read.
async fn take_leave(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut room = [0; 1024];
    while stream.read(&mut room).await? > 0 {}
    Ok(())
}

struct Thread {
    lane: usize,
    listener: TcpListener,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    closing: watch::Receiver<Option<Farewell>>,
}

impl Thread {
    fn run(self) -> std::io::Result<()> {
        let runtime = LocalRuntime::new()?;
        runtime.block_on(self.serve())
    }

    async fn serve(mut self) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let open = Rc::new(Connections::new(&self.shared, self.lane));
        tasks::spawn("what ends silent clients", end_silent_ones(Rc::downgrade(&open)));
        let farewell = loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => match self.shared.doors.admit(peer.ip(), self.lane) {
                        Some(pass) if pass.lane == self.lane => open.spawn(stream, peer, pass),
                        Some(pass) => self.desk.hand_over(stream, peer, pass),
                        None => self.desk.turn_away(stream, peer, self.lane),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(arrival) = self.arrivals.recv() => open.take_over(arrival),
                Ok(farewell) = self.closing.wait_for(Option::is_some) => break *farewell,
            }
        };
        drop(listener);
        self.desk.accepting.fetch_sub(1, Ordering::SeqCst);
        if let Some(farewell) = farewell {
            open.close(farewell, &self.desk, &mut self.arrivals).await;
        }
        Ok(())
    }
}

/// The task of each connection and its client, by a number.
type Guests = RefCell<HashMap<u64, (Waker, Rc<Visit>)>>;

/// A connection among the guests, for as long as it lasts, also where it ends by a panic.
struct Registered<'a> {
    guests: &'a Guests,
    number: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.guests.borrow_mut().remove(&self.number);
    }
}

/// The connections of one thread.
struct Connections {
    worker: Rc<Worker>,
    builder: Builder,
    patience: Duration,
    /// How long a client may be silent.
    silence: Silence,
    shared: Arc<Shared>,
    lane: usize,
    closing: Cell<Option<Manner>>,
    /// To have a connection look at `closing` and at its own silence.
    guests: Guests,
    next: Cell<u64>,
}

impl Connections {
    fn new(shared: &Arc<Shared>, lane: usize) -> Self {
        let patience = shared.settings.patience.as_duration();
        let mut builder = Builder::new();
        // Heads are timed here and not by hyper, which would set up a timer for each request.
        builder.header_read_timeout(None).max_buf_size(LONGEST_HEAD);
        Self {
            worker: Rc::new(Worker::new(shared.clone(), lane)),
            builder,
            patience,
            silence: Silence::of(patience.min(HEAD_TIMEOUT)),
            shared: shared.clone(),
            lane,
            closing: Cell::default(),
            guests: RefCell::default(),
            next: Cell::new(0),
        }
    }

    fn take_over(self: &Rc<Self>, (stream, peer, pass): Arrival) {
        match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => self.spawn(stream, peer, pass),
            Err(error) => tracing::warn!(%error, "cannot take a connection over"),
        }
    }

    fn spawn(self: &Rc<Self>, stream: tokio::net::TcpStream, peer: SocketAddr, pass: Pass) {
        let connections = self.clone();
        tokio::task::spawn_local(async move { connections.serve(stream, peer, pass).await });
    }

    async fn serve(&self, stream: tokio::net::TcpStream, peer: SocketAddr, pass: Pass) {
        let visit = Rc::new(Visit::new(Client::new(peer.ip()), pass, &self.silence));
        let service = service_fn(async |request| {
            let mut answer = Worker::answer(self.worker.clone(), visit.ask(), request).await?;
            if self.closing.get().is_some() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        });
        let refusals = Refusals::to(peer.ip(), &self.shared, self.lane);
        let limits = (refusals, self.shared.slow.clone(), peer.ip());
        let stream = Stream::new(stream, visit.pulse(), self.patience, limits);
        let stream = TokioIo::new(stream);
        let connection = self.builder.serve_connection(stream, service);
        let mut connection = pin!(connection.with_upgrades());
        let number = self.next.replace(self.next.get() + 1);
        let mut told = false;
        let mut registered = None;
        let ended = poll_fn(|cx| {
            registered.get_or_insert_with(|| {
                let guest = (cx.waker().clone(), visit.clone());
                self.guests.borrow_mut().insert(number, guest);
                Registered { guests: &self.guests, number }
            });
            if visit.is_over() {
                tracing::debug!(%peer, "a client was silent for too long");
                return Poll::Ready(Ok(()));
            }
            if self.closing.get() == Some(Manner::Brisk) && !told {
                connection.as_mut().graceful_shutdown();
                told = true;
            }
            connection.as_mut().poll(cx)
        });
        if let Err(error) = ended.await {
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }

    async fn close(
        self: &Rc<Self>,
        farewell: Farewell,
        desk: &Desk,
        arrivals: &mut mpsc::UnboundedReceiver<Arrival>,
    ) {
        self.closing.set(Some(farewell.manner));
        for (task, _) in self.guests.borrow().values() {
            task.wake_by_ref();
        }
        let deadline = tokio::time::Instant::now() + farewell.limit;
        let more =
            || desk.accepting.load(Ordering::SeqCst) > 0 || self.shared.doors.load(self.lane) > 0;
        while more() && tokio::time::Instant::now() < deadline {
            tokio::select! {
                // What another thread accepted before it was told.
                Some(arrival) = arrivals.recv() => self.take_over(arrival),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    }
}

/// Ends connections whose clients are silent for too long.
async fn end_silent_ones(connections: Weak<Connections>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(connections) = connections.upgrade() else { return };
        connections.silence.tick();
        for (task, visit) in connections.guests.borrow().values() {
            if visit.is_over() {
                task.wake_by_ref();
            }
        }
    }
}
