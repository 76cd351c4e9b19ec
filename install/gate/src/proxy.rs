//! One thread's work on requests: in by the view, out to the service, back to the client.
//!
//! A request that may have reached the service is not sent again, but for one: a GET or HEAD without a
//! body, on a connection that was used before and ended before any byte of an answer. What is sent again
//! else, on another connection, is only what hyper hands back because not a byte of it was written.
//! Bodies are passed on as they come, in both directions, each waiting for the slower side. How
//! long a service may think is its own affair, unless the node's `answer-within` bounds it.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use bytes::BytesMut;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};

use super::access_log;
use super::answer::{self, Accept, Readiness};
use super::assets::{self, Found, Shelves};
use super::body::Body;
use super::headers::{self, Framing, X_CUTOVER_VERSION, X_REQUEST_ID};
use super::inbound::{Expectation, Fate, Fault, Inbound};
use super::pool::{Lease, Pool, Ticket};
use super::request::{self, Stop};
use super::view::{Shared, View, Way};
use super::visit::Asking;

/// How often a request that was never written is tried on another connection.
const ATTEMPTS: usize = 3;

/// Fields that are added to a message, about: so that room for them is made once.
const OURS: usize = 5;

/// What one thread needs to answer requests.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    lane: usize,
    view: RefCell<Cache<Arc<ArcSwap<View>>, Arc<View>>>,
    route: RefCell<Rc<Route>>,
    shelves: RefCell<Cache<Arc<ArcSwap<Shelves>>, Arc<Shelves>>>,
    random: Cell<u64>,
    /// Room for names of requests.
    names: RefCell<BytesMut>,
}

/// The view, with what this thread adds to it.
#[derive(Debug)]
struct Route {
    view: Arc<View>,
    /// To the service that the way leads to, or that is beside it.
    pool: Option<Rc<Pool>>,
    announce: Vec<(HeaderName, HeaderValue)>,
}

/// What of a request is of use after it has been sent.
#[derive(Debug)]
struct Asked {
    at: Instant,
    accept: Accept,
    expectation: Expectation,
}

/// The service's answer, or else the gate's own.
type Answer = Result<Response<Body>, Response<Body>>;

/// What the view says to a request.
enum Entry {
    In(Rc<Pool>, Ticket),
    Wait,
    Refused,
}

/// Why there is no answer from the service.
enum Failure {
    /// The request did not reach it.
    Unreached(io::Error),
    /// It broke off; it may have acted on the request.
    Broken(hyper::Error),
    /// It took longer than the node allows; it may act on the request yet.
    Late,
}

impl Route {
    fn new(view: Arc<View>, shared: &Shared, lane: usize, before: Option<&Self>) -> Self {
        let service = match &view.way {
            Way::Open(upstream) => Some(upstream),
            Way::Hold | Way::Backoff => view.beside.as_ref(),
        };
        let pool = service.map(|upstream| {
            before
                .and_then(|route| route.pool.clone())
                .filter(|pool| Arc::ptr_eq(pool.upstream(), upstream))
                .unwrap_or_else(|| {
                    Pool::new(upstream.clone(), shared.meters.of(&upstream.version), lane)
                })
        });
        let names = &shared.settings.backoff_headers;
        let announce = view.announce.map(|seconds| answer::announcement(seconds, names).collect());
        Self { pool, announce: announce.unwrap_or_default(), view }
    }

    /// `None` where the service takes no more: then there is another view.
    fn enter(&self, path: &str, shared: &Shared) -> Option<Entry> {
        let open = |path| shared.settings.always.iter().any(|always| always.matches(path));
        match (&self.pool, &self.view.way) {
            (Some(pool), way) if matches!(way, Way::Open(_)) || open(path) => {
                pool.enter().map(|ticket| Entry::In(pool.clone(), ticket))
            }
            (_, Way::Hold) => Some(Entry::Wait),
            (_, _) => Some(Entry::Refused),
        }
    }
}

impl Worker {
    /// A worker that counts its requests on `lane`.
    pub(super) fn new(shared: Arc<Shared>, lane: usize) -> Self {
        let mut view = Cache::new(shared.view.clone());
        let route = Rc::new(Route::new(view.load().clone(), &shared, lane, None));
        let random = Cell::new(RandomState::new().build_hasher().finish() | 1);
        let shelves = RefCell::new(Cache::new(shared.assets.shelves.clone()));
        let names = RefCell::default();
        Self {
            shared,
            lane,
            shelves,
            names,
            view: RefCell::new(view),
            route: RefCell::new(route),
            random,
        }
    }

    /// Answers a request.
    pub(super) async fn answer(
        self: Rc<Self>,
        asking: Asking,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let expectation = match request.headers_mut().remove(header::EXPECT) {
            Some(_) => Expectation::Continue,
            None => Expectation::Nothing,
        };
        let accept = Accept::of(request.headers());
        let asked = Asked { at: Instant::now(), accept, expectation };
        let id = headers::request_id(request.headers()).unwrap_or_else(|| self.new_id());
        request.headers_mut().reserve(OURS);
        request.headers_mut().insert(X_REQUEST_ID, id.clone());
        let entry = self.shared.access_log.as_ref().map(|log| {
            let (client, id) = (asking.client().address().clone(), id.clone());
            let target = Some((request.method().clone(), request.uri().path().to_owned()));
            let request = access_log::Request { at: asked.at, client, target, id };
            access_log::Entry::new(log.clone(), request)
        });
        let answer = self.respond(&asking, request, &asked).await;
        let mut response = answer.unwrap_or_else(|own| self.own(own, &asking, &asked));
        response.headers_mut().insert(X_REQUEST_ID, id);
        if let Some(mut entry) = entry {
            let version = response.headers().get(X_CUTOVER_VERSION).cloned();
            entry.answered(response.status(), version);
            response.body_mut().logged(entry);
        }
        response.body_mut().answers(asking);
        Ok(response)
    }

    /// The gate's own answer, counted. A client that was not told to send its body may send it or not:
    /// nobody can tell what comes next from it, so it is the last answer.
    fn own(&self, mut own: Response<Body>, asking: &Asking, asked: &Asked) -> Response<Body> {
        self.shared.meters.own.count(self.lane, own.status(), asked.at.elapsed());
        if asked.expectation == Expectation::Continue {
            own.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if own.headers().contains_key(header::CONNECTION) {
            asking.visit().pulse().linger();
        }
        own
    }

    async fn respond(&self, asking: &Asking, request: Request<Incoming>, asked: &Asked) -> Answer {
        let (parts, incoming) = request.into_parts();
        let patience = self.shared.settings.patience.as_duration();
        let (body, fate) = Inbound::new(incoming, patience, asked.expectation);
        let mut request = Request::from_parts(parts, body);
        if request.uri().path().starts_with("/.cutover/") {
            return Err(answer::own(request.method(), request.uri().path(), self.readiness()));
        }
        if let Some(found) = self.asset(request.uri().path()) {
            return Err(match found {
                Found::Here(shelf, name) => {
                    shelf.answer(name, request.method(), request.headers()).await
                }
                Found::Missing => answer::missing(&asked.accept),
            });
        }
        let upgrades = &self.shared.settings.upgrades;
        let upgrade = match request::prepare(&mut request, asking.client(), upgrades) {
            Ok(upgrade) => upgrade,
            Err(Stop::Options) => return Err(answer::options()),
            Err(Stop::Refused(status, why)) => {
                return Err(answer::dismiss(status, why, &asked.accept));
            }
        };
        let Some((pool, ticket)) = self.admit(request.uri().path()).await else {
            return Err(self.backoff(asked));
        };
        let switch = upgrade.map(|protocol| {
            headers::set_upgrade(request.headers_mut(), protocol.clone());
            (hyper::upgrade::on(&mut request), asking.visit().ask(), protocol)
        });
        let safe = request.method().is_safe();
        match self.send(&pool, request).await {
            Ok((response, lease)) => self.pass(response, lease, ticket, switch, asked),
            Err(Failure::Unreached(error)) => {
                let upstream = pool.upstream();
                let (version, address) = (&upstream.version, &upstream.address);
                tracing::warn!(%version, %address, %error, "cannot reach the service");
                Err(self.backoff(asked))
            }
            Err(Failure::Broken(error)) => {
                Err(self.broken(&pool.upstream().version, &error, &fate, asked))
            }
            // What changes nothing may be asked again.
            Err(Failure::Late) if safe => Err(self.backoff(asked)),
            Err(Failure::Late) => {
                self.shared.tally.failed.fetch_add(1, Ordering::Relaxed);
                Err(answer::gateway_timeout(&asked.accept))
            }
        }
    }

    async fn send(
        &self,
        pool: &Rc<Pool>,
        mut request: Request<Inbound>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let mut reusable = pool.reuse();
        let repeatable = matches!(*request.method(), Method::GET | Method::HEAD)
            && request.body().is_end_stream();
        for _ in 0..ATTEMPTS {
            let mut lease = match reusable.take() {
                Some(lease) if repeatable => lease.for_repeatable(),
                Some(lease) => lease,
                None => pool.connect().await.map_err(Failure::Unreached)?,
            };
            let answered = lease.connection.try_send_request(request);
            let answered = match pool.upstream().answer_within {
                Some(limit) => timeout(limit, answered).await.map_err(|_| Failure::Late)?,
                None => answered.await,
            };
            let mut error = match answered {
                Ok(response) => return Ok((response, lease)),
                Err(error) => error,
            };
            request = match (error.take_message(), lease.unanswered()) {
                (Some(unsent), _) => unsent,
                (None, Some(again)) => {
                    self.shared.tally.resent.fetch_add(1, Ordering::Relaxed);
                    again
                }
                (None, None) => return Err(Failure::Broken(error.into_error())),
            };
        }
        Err(Failure::Unreached(io::Error::other("it closes every connection at once")))
    }

    /// Where the client is to blame, it is told so, and the service's good name is kept.
    fn broken(
        &self,
        version: &cutover_formats::version::Version,
        error: &hyper::Error,
        fate: &Fate,
        asked: &Asked,
    ) -> Response<Body> {
        let (status, why) = match fate.fault() {
            None => return self.failed(version, error, asked),
            Some(Fault::Slow) => (StatusCode::REQUEST_TIMEOUT, "the body came too slowly"),
            Some(Fault::Broken) => (StatusCode::BAD_REQUEST, "the body is broken"),
        };
        answer::dismiss(status, why, &asked.accept)
    }

    fn asset(&self, path: &str) -> Option<Found> {
        assets::find(self.shelves.borrow_mut().load(), path)
    }

    fn readiness(&self) -> Readiness {
        match &self.route().view.way {
            Way::Open(upstream) if upstream.is_open() && self.shared.heartbeat.is_felt() => {
                Readiness::Ready
            }
            Way::Open(_) | Way::Hold | Way::Backoff => Readiness::NotReady,
        }
    }

    /// The view of this moment: one relaxed load where it has not changed.
    fn route(&self) -> Rc<Route> {
        let mut cache = self.view.borrow_mut();
        let view = cache.load();
        let mut route = self.route.borrow_mut();
        if !Arc::ptr_eq(view, &route.view) {
            *route = Rc::new(Route::new(view.clone(), &self.shared, self.lane, Some(&route)));
        }
        route.clone()
    }

    /// An upstream that closes is never in the view any more, so that a look at the next view helps.
    fn enter(&self, path: &str) -> Entry {
        let enter = || self.route().enter(path, &self.shared);
        enter().or_else(enter).unwrap_or(Entry::Refused)
    }

    /// The upstream to send a request to, perhaps after a wait.
    async fn admit(&self, path: &str) -> Option<(Rc<Pool>, Ticket)> {
        match self.enter(path) {
            Entry::In(pool, ticket) => Some((pool, ticket)),
            Entry::Refused => None,
            Entry::Wait => self.wait(path).await,
        }
    }

    async fn wait(&self, path: &str) -> Option<(Rc<Pool>, Ticket)> {
        let _place = self.shared.place()?;
        let deadline = Instant::now() + self.shared.settings.hold_max.as_duration();
        loop {
            // Listens before it looks, so that no change falls between the two.
            let changed = self.shared.changed.notified();
            match self.enter(path) {
                Entry::In(pool, ticket) => return Some((pool, ticket)),
                Entry::Refused => return None,
                Entry::Wait => timeout_at(deadline, changed).await.ok()?,
            }
        }
    }

    #[expect(clippy::result_large_err, reason = "either is an answer")]
    fn pass(
        &self,
        response: Response<Incoming>,
        mut lease: Lease,
        ticket: Ticket,
        switch: Option<(OnUpgrade, Asking, HeaderValue)>,
        asked: &Asked,
    ) -> Answer {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let became = headers::upgrade(response.headers());
            let meant = |(_, _, wanted): &(_, _, HeaderValue)| {
                became
                    .is_some_and(|became| became.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
            };
            let Some((client, asking, _)) = switch.filter(meant) else {
                let why = "it switched to a protocol that nobody asked for";
                return Err(self.failed(lease.version(), &why, asked));
            };
            lease.count(response.status(), asked.at.elapsed());
            return Ok(self.switch(response, (lease, ticket, asking), client));
        }
        let label = lease.label();
        let (mut parts, incoming) = response.into_parts();
        match headers::strip(&mut parts.headers) {
            Framing::Plain => headers::settle_length(&mut parts.headers, &incoming),
            Framing::Chunked if parts.headers.remove(header::CONTENT_LENGTH).is_some() => {
                lease.use_no_more();
            }
            Framing::Chunked => {}
            Framing::Unknown => {
                let why = "the coding of its answer is not known";
                return Err(self.failed(lease.version(), &why, asked));
            }
        }
        lease.count(parts.status, asked.at.elapsed());
        parts.headers.reserve(OURS);
        parts.version = Version::HTTP_11;
        parts.headers.insert(X_CUTOVER_VERSION, label);
        parts.headers.extend(self.route.borrow().announce.iter().cloned());
        let body = Body::passing(incoming, lease, ticket, self.shared.tally.clone());
        Ok(Response::from_parts(parts, body))
    }

    /// From here on the gate only carries bytes. The request counts as in flight until both sides
    /// have ended, or until the service is to end and its time to drain is over.
    fn switch(
        &self,
        mut response: Response<Incoming>,
        held: (Lease, Ticket, Asking),
        client: OnUpgrade,
    ) -> Response<Body> {
        held.0.become_tunnel();
        let service = hyper::upgrade::on(&mut response);
        let (mut parts, _) = response.into_parts();
        let protocol = headers::upgrade(&parts.headers);
        headers::strip(&mut parts.headers);
        if let Some(protocol) = protocol {
            headers::set_upgrade(&mut parts.headers, protocol);
        }
        parts.headers.insert(X_CUTOVER_VERSION, held.0.label());
        tokio::task::spawn_local(async move {
            let (lease, _ticket, _asking) = held;
            tokio::select! {
                ended = tunnel(client, service) => if let Err(error) = ended {
                    tracing::debug!(%error, "a tunnel ended");
                },
                () = lease.upstream().cut() => tracing::debug!("a tunnel was cut"),
            }
        });
        Response::from_parts(parts, Body::whole(""))
    }

    fn failed(
        &self,
        version: &cutover_formats::version::Version,
        error: &dyn std::fmt::Display,
        asked: &Asked,
    ) -> Response<Body> {
        self.shared.tally.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%version, %error, "the service broke off before it answered");
        answer::bad_gateway(&asked.accept)
    }

    fn backoff(&self, asked: &Asked) -> Response<Body> {
        self.shared.tally.refused.fetch_add(1, Ordering::Relaxed);
        let route = self.route();
        let notice = &route.view.notice;
        let (elapsed, now) = (notice.since.elapsed(), jiff::Timestamp::now());
        let seconds = answer::seconds(notice, elapsed, now, self.spread());
        let names = &self.shared.settings.backoff_headers;
        let pages = self.shared.pages.load();
        answer::backoff(seconds, notice.message.as_deref(), &asked.accept, &pages, names)
    }

    /// From 0 to 1.
    fn spread(&self) -> f64 {
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A name for a request that has none. It is cut from a supply, so that giving it to the service
    /// and to the client takes no memory of its own.
    fn new_id(&self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let number = u128::from(self.random()) << 64 | u128::from(self.random());
        let digit = |at: usize| DIGITS[(number >> (124 - 4 * at)) as usize & 15];
        let id: [u8; 32] = std::array::from_fn(digit);
        let mut names = self.names.borrow_mut();
        if names.capacity() < id.len() {
            *names = BytesMut::with_capacity(128 * id.len());
        }
        names.extend_from_slice(&id);
        let id = names.split().freeze();
        // Hexadecimal digits are always a value.
        HeaderValue::from_maybe_shared(id).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    }

    /// Xorshift: nothing depends on its being unpredictable.
    fn random(&self) -> u64 {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        random
    }
}

async fn tunnel(client: OnUpgrade, service: OnUpgrade) -> Result<(), Box<dyn std::error::Error>> {
    let (client, service) = tokio::try_join!(client, service)?;
    let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
    tokio::io::copy_bidirectional(&mut client, &mut service).await?;
    Ok(())
}
