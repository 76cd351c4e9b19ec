//! From a request to an answer.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use cutover_http::client::Client;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, LOCATION, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use rustix::io::Errno;

use crate::confined::{Asked, Kind};
use crate::name::Name;
use crate::reply::{Held, Reply, With as _, empty, not_found, text};
use crate::site::Site;
use crate::{download, listing, publish};

/// Answers a request and logs it.
pub(crate) async fn answer(
    site: Arc<Site>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Held>, Infallible> {
    let method = request.method().clone();
    let logged = tracing::enabled!(tracing::Level::INFO);
    let logged = logged.then(|| (Instant::now(), request.uri().path().to_owned()));
    // Who comes without a proxy has a share of the connections instead.
    let is_proxy = site.proxies.has(peer);
    let client = if is_proxy { site.proxies.forwarded(peer, request.headers()) } else { peer };
    let share = is_proxy.then(|| site.requests.take(Client::from(client)));
    let reply = match share {
        Some(None) => {
            site.metrics.request_refused.fetch_add(1, Ordering::Relaxed);
            text(StatusCode::TOO_MANY_REQUESTS, "too many requests of yours are under way")
                .with_static(RETRY_AFTER, "1")
        }
        _ => dispatch(&site, request).await,
    };
    site.metrics.count(&method, &reply);
    if let Some((begun, path)) = logged {
        let bytes = reply.body().size_hint().exact().unwrap_or_default();
        let (status, ms) = (reply.status().as_u16(), begun.elapsed().as_millis());
        tracing::info!(%client, status, bytes, ms, "{method} {path:?}");
    }
    Ok(reply.map(|content| Held { content, _share: share.flatten() }))
}

/// Answers on the address for metrics.
pub(crate) async fn metrics(
    site: Arc<Site>,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let asked = |site: &Site| (site.expiry.roles(&site.store), site.uncommitted.numbers());
            let (roles, waiting) = site.ask(asked).await;
            site.metrics.page(&roles, site.coder.numbers(), waiting, site.keeps)
        }
        _ => not_found(),
    })
}

async fn dispatch(site: &Arc<Site>, request: Request<Incoming>) -> Reply {
    match *request.method() {
        Method::GET | Method::HEAD => get(site, &request).await,
        Method::PUT => publish::put(site, request).await,
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and PUT are known here")
            .with_static(ALLOW, "GET, HEAD, PUT"),
    }
}

async fn get(site: &Arc<Site>, request: &Request<Incoming>) -> Reply {
    let raw = request.uri().path();
    if raw == "/healthz" {
        return text(StatusCode::OK, "ok");
    }
    let Some(asked) = Asked::parse(raw) else { return not_found() };
    let answered = match asked.kind {
        Kind::File => file(site, &asked.path, request).await,
        Kind::Folder => listing::answer(site, &asked.path).await,
    };
    answered.unwrap_or_else(|error| broken(raw, &error))
}

async fn file(site: &Site, path: &str, request: &Request<Incoming>) -> io::Result<Reply> {
    // Without its slash `targets` is a folder like those below it.
    let Some(name) = Name::of(path).or((path == "targets").then_some(Name::Other)) else {
        return Ok(not_found());
    };
    let file = site.files.get(path).await?;
    let found = file.metadata()?;
    if found.is_dir() {
        let there = format!("{}/", request.uri().path());
        let reply = empty(StatusCode::MOVED_PERMANENTLY);
        return Ok(there.parse().map_or_else(|_| not_found(), |there| reply.with(LOCATION, there)));
    }
    if !found.is_file() {
        return Ok(not_found());
    }
    download::answer(&site.coder, file, &found, path, name, request.headers()).await
}

/// What cannot be opened: mostly because it is not there, or behind a link that is not followed.
fn broken(path: &str, error: &io::Error) -> Reply {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG) => {
            not_found()
        }
        _ => {
            tracing::warn!("cannot read {path:?}: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the server cannot read this file")
        }
    }
}
