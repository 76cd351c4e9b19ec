//! What the server counts, and how Prometheus reads it.

use std::sync::atomic::{AtomicU64, Ordering};

use cutover_http::metrics::{self, Kind, Text};
use cutover_repository::client::RememberedRole;
use hyper::body::Body as _;
use hyper::{Method, Response};

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
        let mut text = Text::new("cutover_");
        self.requests(&mut text);
        self.limits(&mut text, coder, waiting);
        self.repository(&mut text, roles, keeps);
        let reply = Response::new(Content::Whole(text.into_string().into()));
        let reply = reply.with_static(hyper::header::CONTENT_TYPE, metrics::MEDIA_TYPE);
        reply.with_static(hyper::header::CACHE_CONTROL, "no-store")
    }

    fn requests(&self, text: &mut Text) {
        let name = "http_requests_total";
        text.family(name, Kind::Counter, "Answers given.");
        for (method, counters) in METHODS.iter().zip(&self.answers) {
            for (status, counter) in STATUSES.iter().zip(counters) {
                let count = of(counter);
                if count > 0 {
                    text.line(name, &[("method", method), ("status", status)], count);
                }
            }
        }
        let (name, help) = ("http_sent_bytes_total", "Bytes of bodies answered.");
        text.single(name, Kind::Counter, help, of(&self.sent));
    }

    fn limits(&self, text: &mut Text, coder: Numbers, waiting: uncommitted::Numbers) {
        for (name, kind, help, value) in [
            ("http_connections", Kind::Gauge, "Open connections.", of(&self.connections)),
            ("coded_bytes", Kind::Gauge, "Memory that compressed files take.", coder.bytes),
            ("coded_total", Kind::Counter, "Times that a file was compressed.", coder.made),
            (
                "coded_bypassed_total",
                Kind::Counter,
                "Answers sent as they are for want of memory.",
                coder.bypassed,
            ),
            ("uncommitted_files", Kind::Gauge, "Uploads that no commit has named.", waiting.files),
            ("uncommitted_bytes", Kind::Gauge, "Bytes of these.", waiting.bytes),
            (
                "uncommitted_swept_total",
                Kind::Counter,
                "Uploads removed because no commit has named them.",
                waiting.swept,
            ),
        ] {
            text.single(name, kind, help, value);
        }
        let mut reasons = |name: &str, help: &str, counters: &[(&str, &AtomicU64)]| {
            text.family(name, Kind::Counter, help);
            for (why, counter) in counters {
                text.line(name, &[("why", why)], of(counter));
            }
        };
        reasons(
            "http_refused_total",
            "What was refused because somebody had all that was allowed.",
            &[
                ("connections", &self.connection_refused),
                ("requests", &self.request_refused),
                ("uploads", &self.upload_without_place),
            ],
        );
        reasons(
            "http_dropped_total",
            "Connections closed because their client was too slow.",
            &[("reading", &self.slow_reader), ("uploading", &self.slow_upload)],
        );
    }

    fn repository(&self, text: &mut Text, roles: &[RememberedRole], keeps: Keeps) {
        let name = "metadata_expires_seconds";
        text.family(name, Kind::Gauge, "When a role's metadata expires, seconds since 1970.");
        for role in roles {
            text.line(name, &[("role", &role.name)], role.expires.as_second());
        }
        let name = "metadata_version";
        text.family(name, Kind::Gauge, "The version of a role's metadata.");
        for role in roles {
            text.line(name, &[("role", &role.name)], role.version);
        }
        if keeps == Keeps::OnlineKeys {
            let help = "Times that the online keys have signed anew.";
            text.single("online_signed_total", Kind::Counter, help, of(&self.signed));
            let help = "Times that signing anew has failed.";
            text.single("online_failed_total", Kind::Counter, help, of(&self.failed));
        }
    }
}

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Whether this server signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// It only carries files.
    Files,
    /// It holds the online keys.
    OnlineKeys,
}
