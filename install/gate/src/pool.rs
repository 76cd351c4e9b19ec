//! Connections to the service, kept by each thread for itself.
//!
//! A connection is used again only while it is fresh: services close idle ones (gunicorn after two
//! seconds), and a request that meets the close cannot be told from one that was acted on. Closing
//! well before the service does keeps that race from being run at all.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cutover_formats::version::Version;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::inbound::Inbound;
use super::meter::Meter;
use super::service_stream::{Exchange, ServiceStream};
use super::tasks;
use super::upstream::{Address, Upstream};

/// How long a connection may have been idle and still be used.
const FRESH: Duration = Duration::from_secs(1);

/// How long a service may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read ahead of the client, and that its head may have.
const MOST_BUFFERED: usize = 64 * 1024;

/// How soon to try again where a unix socket's backlog is full.
const BACKLOG_PAUSE: Duration = Duration::from_millis(2);

/// One thread's connections to one upstream.
#[derive(Debug)]
pub(super) struct Pool {
    upstream: Arc<Upstream>,
    lane: usize,
    meter: Arc<Meter>,
    /// The version as a header, copied for this thread so that threads share no counter.
    label: HeaderValue,
    /// The longest idle first; the last one back is the first one out.
    idle: RefCell<Vec<Idle>>,
    sweeping: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: SendRequest<Inbound>,
    exchange: Arc<Exchange>,
    since: Instant,
}

/// A request's place at the upstream; dropping it counts the request out.
#[derive(Debug)]
pub(super) struct Ticket(Rc<Pool>);

/// A connection taken from a pool. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Lease {
    /// The connection.
    pub(super) connection: SendRequest<Inbound>,
    /// What is seen of a request and its answer on it.
    exchange: Arc<Exchange>,
    pool: Rc<Pool>,
    /// Whether it may be used for another request.
    last: bool,
}

impl Pool {
    /// No connections to `upstream` yet.
    pub(super) fn new(upstream: Arc<Upstream>, meter: Arc<Meter>, lane: usize) -> Rc<Self> {
        // A semantic version is printable ASCII.
        let label = HeaderValue::try_from(upstream.version.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let (idle, sweeping) = (RefCell::default(), Cell::new(false));
        Rc::new(Self { upstream, lane, meter, label, idle, sweeping })
    }

    /// Where the connections lead.
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Counts a request in; `None` where the upstream takes no more.
    pub(super) fn enter(self: &Rc<Self>) -> Option<Ticket> {
        self.upstream.enter(self.lane).then(|| Ticket(self.clone()))
    }

    /// A connection that was used before and is still fresh.
    pub(super) fn reuse(self: &Rc<Self>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let now = Instant::now();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            if now.duration_since(idle[at].since) >= FRESH {
                idle.drain(..=at);
                return None;
            }
            if idle[at].connection.is_closed() {
                idle.remove(at);
            } else if idle[at].connection.is_ready() {
                let Idle { connection, exchange, .. } = idle.remove(at);
                exchange.begin();
                return Some(Lease { connection, exchange, pool: self.clone(), last: false });
            }
        }
        None
    }

    /// A new connection.
    pub(super) async fn connect(self: &Rc<Self>) -> io::Result<Lease> {
        let connected = tokio::time::timeout(CONNECT, async {
            match &self.upstream.address {
                Address::Tcp(address) => {
                    let stream = self.upstream.guard.tcp(*address).await?;
                    stream.set_nodelay(true)?;
                    handshake(stream).await
                }
                Address::Unix(path) => loop {
                    match self.upstream.guard.unix(path).await {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            tokio::time::sleep(BACKLOG_PAUSE).await;
                        }
                        stream => break handshake(stream?).await,
                    }
                },
            }
        });
        let (connection, exchange) =
            connected.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Lease { connection, exchange, pool: self.clone(), last: false })
    }

    fn put(self: &Rc<Self>, connection: SendRequest<Inbound>, exchange: Arc<Exchange>) {
        self.idle.borrow_mut().push(Idle { connection, exchange, since: Instant::now() });
        if !self.sweeping.replace(true) {
            tasks::spawn("what closes idle connections", sweep(Rc::downgrade(self)));
        }
    }
}

/// Closes what nobody used for a while, until nothing is left.
async fn sweep(pool: std::rc::Weak<Pool>) {
    loop {
        tokio::time::sleep(FRESH).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let mut idle = pool.idle.borrow_mut();
        idle.retain(|idle| now.duration_since(idle.since) < FRESH && !idle.connection.is_closed());
        if idle.is_empty() {
            pool.sweeping.set(false);
            return;
        }
    }
}

async fn handshake<S>(stream: S) -> io::Result<(SendRequest<Inbound>, Arc<Exchange>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchange = Arc::<Exchange>::default();
    let io = TokioIo::new(ServiceStream::new(stream, exchange.clone()));
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MOST_BUFFERED)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // What goes wrong here is told to the request that it happens to.
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the service ended");
        }
    });
    Ok((sender, exchange))
}

impl Lease {
    /// The same, for a request without a body that may be sent once more.
    pub(super) fn for_repeatable(self) -> Self {
        self.exchange.begin_repeatable();
        self
    }

    /// The request that was sent, where it may be sent once more.
    pub(super) fn unanswered(&self) -> Option<Request<Inbound>> {
        self.exchange.unanswered()
    }

    /// The service has switched to another protocol.
    pub(super) fn become_tunnel(&self) {
        self.exchange.become_tunnel();
    }

    /// The connection is of use to others again.
    pub(super) fn give_back(self) {
        if !self.last && !self.connection.is_closed() {
            self.pool.put(self.connection, self.exchange);
        }
    }

    /// Nothing more is asked on this connection: who knows where its answer ends.
    pub(super) fn use_no_more(&mut self) {
        self.last = true;
    }

    /// Counts an answer whose head took `took` to come.
    pub(super) fn count(&self, status: StatusCode, took: Duration) {
        self.pool.meter.count(self.pool.lane, status, took);
    }

    /// The release at the other end, as a header.
    pub(super) fn label(&self) -> HeaderValue {
        self.pool.label.clone()
    }

    /// What is at the other end.
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.pool.upstream
    }

    /// The release at the other end.
    pub(super) fn version(&self) -> &Version {
        &self.pool.upstream.version
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.upstream.leave(self.0.lane);
    }
}
