//! What the server counts, and how Prometheus reads it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_repository::client::RememberedRole;
use hyper::body::Body as _;
use hyper::{Method, Response, StatusCode};

use crate::reply::{Content, Reply, With as _};

/// Statuses that this server answers; all others are counted as `0`.
const STATUSES: [u16; 21] = [
    0, 200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 405, 409, 412, 413, 416, 422, 428, 500,
    503, 507,
];
const METHODS: [&str; 4] = ["GET", "HEAD", "PUT", "other"];

/// The counters of one server.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    sent: AtomicU64,
    /// How often snapshot and timestamp were signed anew here.
    pub(crate) signed: AtomicU64,
    /// How often that failed.
    pub(crate) failed: AtomicU64,
}

impl Metrics {
    /// Counts an answer.
    pub(crate) fn count(&self, method: &Method, reply: &Reply) {
        let method = METHODS.iter().position(|name| *name == method.as_str());
        let status = STATUSES.iter().position(|one| *one == reply.status().as_u16());
        let counter = &self.requests[method.unwrap_or(METHODS.len() - 1)][status.unwrap_or(0)];
        counter.fetch_add(1, Ordering::Relaxed);
        let length = reply.body().size_hint().exact().unwrap_or_default();
        self.sent.fetch_add(length, Ordering::Relaxed);
    }

    /// The page at `/metrics`.
    pub(crate) fn page(&self, roles: &[RememberedRole], keeps: Keeps) -> Reply {
        let reply = Response::new(Content::Whole(self.text(roles, keeps).into()));
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        let reply = reply.with_static(hyper::header::CONTENT_TYPE, kind);
        debug_assert_eq!(reply.status(), StatusCode::OK);
        reply.with_static(hyper::header::CACHE_CONTROL, "no-store")
    }

    fn text(&self, roles: &[RememberedRole], keeps: Keeps) -> String {
        let mut text = String::new();
        family(&mut text, "cutover_http_requests_total", "counter", "Answers given.");
        for (method, counters) in METHODS.iter().zip(&self.requests) {
            for (status, counter) in STATUSES.iter().zip(counters) {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = format!("method=\"{method}\",status=\"{status}\"");
                    let _ = writeln!(text, "cutover_http_requests_total{{{labels}}} {count}");
                }
            }
        }
        let sent = self.sent.load(Ordering::Relaxed);
        family(&mut text, "cutover_http_sent_bytes_total", "counter", "Bytes of bodies answered.");
        let _ = writeln!(text, "cutover_http_sent_bytes_total {sent}");
        let name = "cutover_metadata_expires_seconds";
        family(&mut text, name, "gauge", "When a role's metadata expires, seconds since 1970.");
        for role in roles {
            let (label, expires) = (escaped(&role.name), role.expires.as_second());
            let _ = writeln!(text, "{name}{{role=\"{label}\"}} {expires}");
        }
        let name = "cutover_metadata_version";
        family(&mut text, name, "gauge", "The version of a role's metadata.");
        for role in roles {
            let _ = writeln!(text, "{name}{{role=\"{}\"}} {}", escaped(&role.name), role.version);
        }
        if keeps == Keeps::OnlineKeys {
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let name = "cutover_online_signed_total";
            family(&mut text, name, "counter", "Times that the online keys have signed anew.");
            let _ = writeln!(text, "{name} {}", of(&self.signed));
            let name = "cutover_online_failed_total";
            family(&mut text, name, "counter", "Times that signing anew has failed.");
            let _ = writeln!(text, "{name} {}", of(&self.failed));
        }
        text
    }
}

/// Whether this server signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// It only carries files.
    Files,
    /// It holds the online keys.
    OnlineKeys,
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// The name of a role may be anything.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
