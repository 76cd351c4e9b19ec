//! What a server's answers and silences mean.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};

use super::shown;
use crate::store::StoreError;

const TOKEN: &str = "set CUTOVER_TOKEN to a token that the server accepts";

/// How long a server is given that has too much to do and does not say for how long.
const UNSAID: Duration = Duration::from_secs(5);

/// A failed request.
pub(super) enum Trouble {
    /// It may work if it is tried again.
    Passing(StoreError),
    /// It will not.
    Lasting(StoreError),
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Passing(error) | Trouble::Lasting(error) => error,
        }
    }
}

/// What a GET from offset `from` gave: the answer, and how many of its bytes come before the
/// offset. `None` where the file ends before.
pub(super) fn read(
    url: &Url,
    from: u64,
    response: Response,
) -> Result<Option<(Response, u64)>, Trouble> {
    if let Some(after) = retry_after(response.status(), response.headers()) {
        return Err(Trouble::Lasting(busy(url, response.status(), after)));
    }
    match response.status() {
        StatusCode::OK if is_page(url, response.headers()) => Err(portal(url)),
        StatusCode::NETWORK_AUTHENTICATION_REQUIRED => Err(portal(url)),
        StatusCode::OK => Ok(Some((response, from))),
        StatusCode::PARTIAL_CONTENT if starts_at(&response) == Some(from) => {
            Ok(Some((response, 0)))
        }
        StatusCode::PARTIAL_CONTENT => Err(nonsense(url, "it sent another part than asked for")),
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(None),
        status if status.is_server_error() => Err(Trouble::Passing(refused(url, status, ""))),
        status => Err(Trouble::Lasting(refused(url, status, ""))),
    }
}

/// When a server that has too much to do asks to come back.
pub(super) fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text.and_then(|text| match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => Some(Duration::MAX),
        Err(_) => {
            let then = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Some(Duration::try_from(then.duration_since(Timestamp::now())).unwrap_or_default())
        }
    });
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(after.unwrap_or(UNSAID)),
        StatusCode::SERVICE_UNAVAILABLE => after,
        _ => None,
    }
}

/// What it means that it does.
pub(super) fn busy(url: &Url, status: StatusCode, after: Duration) -> StoreError {
    let why = format!("the server answered {status}, to come back in {} s", after.as_secs());
    StoreError::Busy { what: shown(url), why, after }
}

/// Whether it is a page for people, though none was asked for. No file of a repository is one by its
/// type, but those that are called so.
fn is_page(url: &Url, headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_called_so = [".html", ".htm", ".xhtml"].iter().any(|end| url.path().ends_with(end));
    let kind = kind.trim_start().to_ascii_lowercase();
    kind.starts_with("text/html") && !is_called_so
}

/// Somebody on the way answered in the repository's place.
fn portal(url: &Url) -> Trouble {
    let why = "a page for people (HTML) came instead of the file: a network that wants a login first \
               (captive portal), or a proxy, answers in the repository's place";
    nonsense(url, why)
}

fn starts_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// What an answer other than success means; `words` are the server's own.
pub(super) fn refused(url: &Url, status: StatusCode, words: &str) -> StoreError {
    let what = shown(url);
    let why = match words {
        "" => format!("the server answered {status}"),
        words => format!("the server answered {status}: {words}"),
    };
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => StoreError::NotFound { what },
        StatusCode::UNAUTHORIZED => StoreError::Denied { what, why, hint: TOKEN.to_owned() },
        StatusCode::FORBIDDEN => StoreError::Forbidden { what, why, hint: TOKEN.to_owned() },
        StatusCode::INSUFFICIENT_STORAGE => StoreError::NoSpace { what, why },
        status if status.is_server_error() || status.is_redirection() || status.is_success() => {
            StoreError::Unreachable { what, why }
        }
        _ => StoreError::Refused { what, why },
    }
}

/// A server that does not speak HTTP as it should.
pub(super) fn nonsense(url: &Url, why: &str) -> Trouble {
    Trouble::Lasting(StoreError::Unreachable { what: shown(url), why: why.to_owned() })
}

/// What it means that there was no answer, or only a part of one. A timeout is not tried again: the
/// user has waited long enough.
pub(super) fn failed(url: &Url, error: reqwest::Error) -> Trouble {
    let lasting = error.is_timeout() || error.is_redirect() || error.is_builder();
    let why =
        if error.is_timeout() { "it does not answer in time".to_owned() } else { cause(&error) };
    let error = StoreError::Unreachable { what: shown(url), why };
    if lasting { Trouble::Lasting(error) } else { Trouble::Passing(error) }
}

/// The innermost cause, which is the one that says something. It names no URL.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "the request failed".to_owned() };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
