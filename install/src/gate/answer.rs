//! The gate's own answers: come back later, the service failed, and whether we are alive.

use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use jiff::Timestamp;

use super::body::Body;
use super::view::{Notice, Reason};

/// What a swap is thought to take where this gate has seen none.
const UNKNOWN_SWAP: Duration = Duration::from_secs(5);

/// No client is sent away for longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// Further checks come no earlier than this where maintenance has no end.
const OPEN_END: Duration = Duration::from_secs(60);

/// Seconds that clients are told to stay away.
pub(super) const X_BACKOFF: HeaderName = HeaderName::from_static("x-backoff");
const X_WEAVE_BACKOFF: HeaderName = HeaderName::from_static("x-weave-backoff");
const X_WEAVE_MAINTENANCE: HeaderName = HeaderName::from_static("x-weave-maintenance");

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

/// The form of answer that a client would like, kept until one is needed.
#[derive(Clone, Debug)]
pub(super) struct Accept(Option<HeaderValue>);

/// Whether the headers of the Weave protocol go with the backoff answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weave {
    /// They do.
    With,
    /// They do not.
    Without,
}

/// 503: come back in `seconds`.
pub(super) fn backoff(
    seconds: u64,
    message: Option<&str>,
    accept: &Accept,
    weave: Weave,
) -> Response<Body> {
    let text = message.unwrap_or("We are updating this site. It will be back in a moment.");
    let mut answer =
        page(StatusCode::SERVICE_UNAVAILABLE, "Back soon", text, Some(seconds), accept);
    let headers = answer.headers_mut();
    let seconds = HeaderValue::from(seconds);
    headers.insert(header::RETRY_AFTER, seconds.clone());
    headers.insert(X_BACKOFF, seconds.clone());
    if weave == Weave::With {
        headers.insert(X_WEAVE_BACKOFF, seconds);
        headers.insert(X_WEAVE_MAINTENANCE, HeaderValue::from_static("true"));
    }
    answer
}

/// 502: the service broke off before it answered.
pub(super) fn bad_gateway(accept: &Accept) -> Response<Body> {
    let text = "The application did not answer this request. It may or may not have acted on it.";
    page(StatusCode::BAD_GATEWAY, "No answer", text, None, accept)
}

/// A request that the gate does not pass on.
pub(super) fn refuse(status: StatusCode, why: &str, accept: &Accept) -> Response<Body> {
    page(status, status.canonical_reason().unwrap_or("Refused"), why, None, accept)
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
    plain(status, "text/plain; charset=utf-8", text.to_owned())
}

/// Whether traffic should come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// The gate is open and the service answers.
    Ready,
    /// Anything else.
    NotReady,
}

fn page(
    status: StatusCode,
    title: &str,
    text: &str,
    retry: Option<u64>,
    accept: &Accept,
) -> Response<Body> {
    if !accept.html() {
        let mut value = serde_json::json!({
            "code": status.as_u16(),
            "error": status.canonical_reason(),
            "message": text,
        });
        if let Some(seconds) = retry {
            value["retry_after"] = seconds.into();
        }
        return plain(status, "application/json", format!("{value}\n"));
    }
    let (title, text) = (escape(title), escape(text));
    let again = retry.map_or_else(String::new, |seconds| {
        format!("<p>Please try again in about {seconds} seconds.</p>")
    });
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:15vh auto;\
         padding:0 1em}}</style><h1>{title}</h1><p>{text}</p>{again}\n"
    );
    plain(status, "text/html; charset=utf-8", html)
}

fn plain(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

impl Accept {
    /// What the request with `headers` would like.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(header::ACCEPT).cloned())
    }

    /// HTML goes to those that name it (browsers do); programs get JSON.
    fn html(&self) -> bool {
        let value = self.0.as_ref().and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains("text/html"))
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
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

    #[test]
    fn words_of_the_operator_cannot_become_markup() {
        assert_eq!(escape("<b a='1'>&\""), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn browsers_get_html() {
        let html = |value| Accept(Some(HeaderValue::from_static(value))).html();
        assert!(!Accept(None).html());
        assert!(!html("*/*"));
        assert!(html("Text/HTML, */*;q=0.8"));
    }
}
