//! What the server counts, and how Prometheus reads it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use cutover_repository::client::RememberedRole;
use hyper::body::Body as _;
use hyper::{Method, Response, StatusCode};

use crate::coding::Numbers;
use crate::reply::{Content, Reply, With as _};
use crate::uncommitted;

/// Statuses that this server answers; all others are counted as `0`.
const STATUSES: [u16; 23] = [
    0, 200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 416, 422, 428,
    429, 500, 503, 507,
];
const METHODS: [&str; 4] = ["GET", "HEAD", "PUT", "other"];

/// The counters of one server.
#[derive(Default)]
pub(crate) struct Metrics {
    answers: [[AtomicU64; STATUSES.len()]; METHODS.len()],
    sent: AtomicU64,
    /// Connections that are open.
    pub(crate) connections: AtomicU64,
    /// Connections of clients that had all they may have.
    pub(crate) connection_refused: AtomicU64,
    /// Requests, through a proxy, of clients that had all they may have.
    pub(crate) request_refused: AtomicU64,
    /// Uploads that waited in vain for a place.
    pub(crate) upload_without_place: AtomicU64,
    /// Connections that took too little of an answer.
    pub(crate) slow_reader: AtomicU64,
    /// Uploads that came too slowly.
    pub(crate) slow_upload: AtomicU64,
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
        let counter = &self.answers[method.unwrap_or(METHODS.len() - 1)][status.unwrap_or(0)];
        counter.fetch_add(1, Ordering::Relaxed);
        let length = reply.body().size_hint().exact().unwrap_or_default();
        self.sent.fetch_add(length, Ordering::Relaxed);
    }

    /// The page at `/metrics`.
    pub(crate) fn page(
        &self,
        roles: &[RememberedRole],
        coder: Numbers,
        waiting: uncommitted::Numbers,
        keeps: Keeps,
    ) -> Reply {
        let mut text = self.requests();
        self.limits(&mut text, coder, waiting);
        self.repository(&mut text, roles, keeps);
        let reply = Response::new(Content::Whole(text.into()));
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        let reply = reply.with_static(hyper::header::CONTENT_TYPE, kind);
        debug_assert_eq!(reply.status(), StatusCode::OK);
        reply.with_static(hyper::header::CACHE_CONTROL, "no-store")
    }

    fn requests(&self) -> String {
        let mut text = String::new();
        family(&mut text, "cutover_http_requests_total", "counter", "Answers given.");
        for (method, counters) in METHODS.iter().zip(&self.answers) {
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
        text
    }

    fn limits(&self, text: &mut String, coder: Numbers, waiting: uncommitted::Numbers) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut one = |name: &str, kind: &str, help: &str, value: u64| {
            family(text, name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        };
        one("cutover_http_connections", "gauge", "Open connections.", of(&self.connections));
        let name = "cutover_coded_bytes";
        one(name, "gauge", "Memory that compressed files take.", coder.bytes);
        let name = "cutover_coded_total";
        one(name, "counter", "Times that a file was compressed.", coder.made);
        let name = "cutover_coded_bypassed_total";
        one(name, "counter", "Answers sent as they are for want of memory.", coder.bypassed);
        let name = "cutover_uncommitted_files";
        one(name, "gauge", "Uploads that no commit has named.", waiting.files);
        let name = "cutover_uncommitted_bytes";
        one(name, "gauge", "Bytes of these.", waiting.bytes);
        let name = "cutover_uncommitted_swept_total";
        one(name, "counter", "Uploads removed because no commit has named them.", waiting.swept);
        let mut reasons = |name: &str, help: &str, counters: &[(&str, &AtomicU64)]| {
            family(text, name, "counter", help);
            for (why, counter) in counters {
                let _ = writeln!(text, "{name}{{why=\"{why}\"}} {}", of(counter));
            }
        };
        reasons(
            "cutover_http_refused_total",
            "What was refused because somebody had all that was allowed.",
            &[
                ("connections", &self.connection_refused),
                ("requests", &self.request_refused),
                ("uploads", &self.upload_without_place),
            ],
        );
        reasons(
            "cutover_http_dropped_total",
            "Connections closed because their client was too slow.",
            &[("reading", &self.slow_reader), ("uploading", &self.slow_upload)],
        );
    }

    fn repository(&self, text: &mut String, roles: &[RememberedRole], keeps: Keeps) {
        let name = "cutover_metadata_expires_seconds";
        family(text, name, "gauge", "When a role's metadata expires, seconds since 1970.");
        for role in roles {
            let (label, expires) = (escaped(&role.name), role.expires.as_second());
            let _ = writeln!(text, "{name}{{role=\"{label}\"}} {expires}");
        }
        let name = "cutover_metadata_version";
        family(text, name, "gauge", "The version of a role's metadata.");
        for role in roles {
            let _ = writeln!(text, "{name}{{role=\"{}\"}} {}", escaped(&role.name), role.version);
        }
        if keeps == Keeps::OnlineKeys {
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let name = "cutover_online_signed_total";
            family(text, name, "counter", "Times that the online keys have signed anew.");
            let _ = writeln!(text, "{name} {}", of(&self.signed));
            let name = "cutover_online_failed_total";
            family(text, name, "counter", "Times that signing anew has failed.");
            let _ = writeln!(text, "{name} {}", of(&self.failed));
        }
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
