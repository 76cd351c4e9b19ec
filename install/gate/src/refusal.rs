//! Answers to what is refused before it is a request: bytes that are no HTTP/1.1, and connections that
//! there is no room for.
//!
//! Hyper refuses the former by itself with a bare status. Here it becomes an answer like all others,
//! with a body, a name and a line in the access log. Method and path are unknown.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::time::Instant;

use super::access_log;
use super::answer;
use super::headers::{Client, X_REQUEST_ID};
use super::view::Shared;

/// Refuses what one client sends.
#[derive(Debug)]
pub(super) struct Refusals {
    shared: Arc<Shared>,
    client: HeaderValue,
    /// The calling thread.
    lane: usize,
}

impl Refusals {
    /// Refuses what the client at `address` sends, on the thread `lane`.
    pub(super) fn to(address: IpAddr, shared: &Arc<Shared>, lane: usize) -> Self {
        let client = Client::new(address).address().clone();
        Self { shared: shared.clone(), client, lane }
    }

    /// The whole answer in place of the head `bare` that hyper made; `None` where that is no such head.
    pub(super) fn in_place_of(&self, bare: &[u8]) -> Option<Vec<u8>> {
        let head = str::from_utf8(bare).ok()?.strip_suffix("\r\n\r\n")?;
        let (line, fields) = head.split_once("\r\n")?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let kept = fields.split("\r\n").filter(|field| !field.starts_with("content-length:"));
        let fields: String = kept.map(|field| format!("{field}\r\n")).collect();
        let why = match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the head of the request is too large",
            StatusCode::URI_TOO_LONG => "the target of the request is too long",
            _ => "this is no request of HTTP/1.1",
        };
        Some(self.answer(status, &fields, why))
    }

    /// The answer to a connection that there is no room for.
    pub(super) fn no_room(&self, seconds: u64) -> Vec<u8> {
        let fields = format!("connection: close\r\nretry-after: {seconds}\r\n");
        let why = "there is no room for more connections";
        self.answer(StatusCode::SERVICE_UNAVAILABLE, &fields, why)
    }

    fn answer(&self, status: StatusCode, fields: &str, why: &str) -> Vec<u8> {
        let (kind, body) = answer::for_programs(status, why);
        let id = name();
        self.shared.meters.own.count(self.lane, status, Duration::ZERO);
        if let (Some(log), Ok(id)) = (&self.shared.access_log, HeaderValue::try_from(&id)) {
            let (at, client) = (Instant::now(), self.client.clone());
            let request = access_log::Request { at, client, target: None, id };
            let mut entry = access_log::Entry::new(log.clone(), request);
            entry.answered(status, None);
            entry.sent(body.len());
        }
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\n{fields}content-type: {kind}\r\ncache-control: no-store\r\n\
             {X_REQUEST_ID}: {id}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// A name for what has none.
fn name() -> String {
    let number = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", number(), number())
}
