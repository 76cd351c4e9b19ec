//! What a server's answers and silences mean.

use std::error::Error;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode, Url};

use crate::location::shown;
use crate::store::StoreError;

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
    match response.status() {
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
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StoreError::Denied {
            what,
            why,
            hint: "set CUTOVER_TOKEN to a token that the server accepts".to_owned(),
        },
        StatusCode::INSUFFICIENT_STORAGE => StoreError::NoSpace { what, why },
        status if status.is_server_error() => StoreError::Unreachable { what, why },
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
