//! From a request to an answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, LOCATION};
use hyper::{Method, Request, StatusCode};
use rustix::io::Errno;

use crate::confined::{Asked, Kind};
use crate::name::Name;
use crate::reply::{Reply, With as _, empty, not_found, text};
use crate::site::Site;
use crate::{download, listing, publish};

/// Answers a request and logs it.
pub(crate) async fn answer(
    site: Arc<Site>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let method = request.method().clone();
    if !tracing::enabled!(tracing::Level::INFO) {
        let reply = dispatch(&site, request).await;
        site.metrics.count(&method, &reply);
        return Ok(reply);
    }
    let (begun, path) = (Instant::now(), request.uri().path().to_owned());
    let reply = dispatch(&site, request).await;
    site.metrics.count(&method, &reply);
    let bytes = reply.body().size_hint().exact().unwrap_or_default();
    let (status, ms) = (reply.status().as_u16(), begun.elapsed().as_millis());
    tracing::info!(%peer, status, bytes, ms, "{method} {path:?}");
    Ok(reply)
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
    if raw == "/metrics" {
        let roles = site.ask(|site| site.expiry.roles(&site.store)).await;
        return site.metrics.page(&roles, site.keeps);
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
    download::answer(file, found.len(), path, name, request.headers()).await
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
