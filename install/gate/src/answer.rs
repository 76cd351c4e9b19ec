//! The gate's own answers: come back later, the service failed, and whether we are alive.

mod accept;

use std::time::Duration;

use cutover_formats::node_toml::BackoffHeader;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use jiff::Timestamp;

use super::body::Body;
use super::pages::{self, Pages};
use super::view::{Notice, Reason};

pub(super) use accept::Accept;

/// What a swap is thought to take where this gate has seen none.
const UNKNOWN_SWAP: Duration = Duration::from_secs(5);

/// No client is sent away for longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// Further checks come no earlier than this where maintenance has no end.
const OPEN_END: Duration = Duration::from_secs(60);

/// The methods that the gate passes on; it does so with others as well, but for CONNECT and TRACE.
const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Seconds after which a client may come back.
///
/// `history` are the dark times of this gate's last swaps, `elapsed` how long it is dark already,
/// and `spread`, from 0 to 1, differs from request to request so that clients do not return together.
/// A swap that takes longer than ever before is expected to take half as long again.
pub(super) fn retry_after(history: &[Duration], elapsed: Duration, spread: f64) -> u64 {
    let expected = history.iter().max().copied().unwrap_or(UNKNOWN_SWAP);
    let left = expected.checked_sub(elapsed).unwrap_or(elapsed / 2);
    spread_out(left, spread)
}

/// From `base` to `1.5 * base + 1` seconds, at least one.
fn spread_out(base: Duration, spread: f64) -> u64 {
    let base = base.min(LONGEST).as_secs_f64();
    let seconds = base + spread.clamp(0.0, 1.0) * (base / 2.0 + 1.0);
    // At most 5401, so that nothing is lost.
    (seconds.round() as u64).max(1)
}

/// Seconds after which those may come back that `notice` sends away.
pub(super) fn seconds(notice: &Notice, elapsed: Duration, now: Timestamp, spread: f64) -> u64 {
    match (notice.until, notice.reason) {
        (Some(until), _) => {
            spread_out(Duration::try_from(until.duration_since(now)).unwrap_or_default(), spread)
        }
        (None, Reason::Maintenance) => spread_out(OPEN_END, spread),
        (None, _) => retry_after(&notice.history, elapsed, spread),
    }
}

/// What good answers carry before a swap, so that load falls before it starts.
pub(super) fn announcement(
    seconds: u64,
    names: &[BackoffHeader],
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let timed = names.iter().filter(|name| **name != BackoffHeader::XWeaveMaintenance);
    timed.map(move |name| (HeaderName::from_static(name.lower_case()), seconds.into()))
}

/// 503: come back in `seconds`.
pub(super) fn backoff(
    seconds: u64,
    message: Option<&str>,
    accept: &Accept,
    pages: &Pages,
    names: &[BackoffHeader],
) -> Response<Body> {
    let text = message.unwrap_or("We are updating this site. It will be back in a moment.");
    let (kind, page) = match accept.html() {
        true => (HTML, pages.html(seconds, text)),
        false => (JSON, pages.json(seconds, text)),
    };
    let mut answer = whole(StatusCode::SERVICE_UNAVAILABLE, kind, page);
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, seconds.into());
    headers.extend(announcement(seconds, names));
    if names.contains(&BackoffHeader::XWeaveMaintenance) {
        let name = HeaderName::from_static(BackoffHeader::XWeaveMaintenance.lower_case());
        headers.insert(name, HeaderValue::from_static("true"));
    }
    answer
}

/// 502: the service broke off before it answered.
pub(super) fn bad_gateway(accept: &Accept) -> Response<Body> {
    let text = "The application did not answer this request. It may or may not have acted on it.";
    brief(StatusCode::BAD_GATEWAY, "No answer", text, accept)
}

/// 504: the service takes too long over a request that may change something.
pub(super) fn gateway_timeout(accept: &Accept) -> Response<Body> {
    let text = "The application takes too long over this request. It may or may not act on it.";
    brief(StatusCode::GATEWAY_TIMEOUT, "No answer in time", text, accept)
}

/// 404: there is no such asset.
pub(super) fn missing(accept: &Accept) -> Response<Body> {
    brief(StatusCode::NOT_FOUND, "Not found", "There is no such file in that release.", accept)
}

/// A request that the gate does not pass on, or not to its end. Whatever else the client has sent
/// is not read, so that it cannot be taken for something else.
pub(super) fn dismiss(status: StatusCode, why: &str, accept: &Accept) -> Response<Body> {
    let mut answer = brief(status, status.canonical_reason().unwrap_or("Refused"), why, accept);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(header::ALLOW, ALLOWED);
    }
    answer
}

/// 204: what may be asked of the service, as far as the gate knows.
pub(super) fn options() -> Response<Body> {
    let mut answer = Response::new(Body::whole(""));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(header::ALLOW, ALLOWED);
    answer
}

fn brief(status: StatusCode, title: &str, text: &str, accept: &Accept) -> Response<Body> {
    match accept.html() {
        true => whole(status, HTML, pages::brief_html(title, text)),
        false => whole(status, JSON, pages::brief_json(status, text)),
    }
}

/// A few words as the body of an answer for programs, and of what kind that is.
pub(super) fn for_programs(status: StatusCode, text: &str) -> (&'static str, String) {
    (JSON, pages::brief_json(status, text))
}

/// The answers under `/.cutover/`, which never reach the service.
pub(super) fn own(method: &Method, path: &str, ready: Readiness) -> Response<Body> {
    let (status, text) = match (path, ready) {
        _ if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
        }
        ("/.cutover/alive", _) => (StatusCode::OK, "alive\n"),
        ("/.cutover/ready", Readiness::Ready) => (StatusCode::OK, "ready\n"),
        ("/.cutover/ready", Readiness::NotReady) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut answer = whole(status, "text/plain; charset=utf-8", text.to_owned());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

/// Whether traffic should come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// The gate is open and the service answers.
    Ready,
    /// Anything else.
    NotReady,
}

fn whole(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn clients_return_when_it_is_over_and_not_together() {
        let history = [2 * SECOND, 10 * SECOND, 3 * SECOND];
        assert_eq!(retry_after(&history, Duration::ZERO, 0.0), 10);
        assert_eq!(retry_after(&history, Duration::ZERO, 1.0), 16);
        assert_eq!(retry_after(&history, 8 * SECOND, 0.0), 2);
        assert_eq!(retry_after(&history, 10 * SECOND, 0.0), 1);
        assert_eq!(retry_after(&history, 30 * SECOND, 0.0), 15);
        assert_eq!(retry_after(&[], Duration::ZERO, 0.0), 5);
        assert_eq!(retry_after(&[], Duration::MAX, 1.0), 5401);
        assert_eq!(retry_after(&[Duration::ZERO], Duration::ZERO, f64::NAN), 1);
    }
}
