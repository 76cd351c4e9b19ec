//! Answering with a file, or the part of it that was asked for.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;

use cutover_formats::digest::Digest;
use cutover_http::file::{Part, read};
use cutover_http::terms::{Terms, is_known};
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use crate::coding::{self, Coder};
use crate::name::Name;
use crate::reply::{Content, Reply, With as _, empty};

/// Files up to this size are read in one go, and hashed where their name has no digest.
const SMALL: u64 = 64 << 10;

/// An answer with `file`, which is called `path`.
pub(crate) async fn answer(
    coder: &Coder,
    file: File,
    found: &Metadata,
    path: &str,
    name: Name<'_>,
    asked: &HeaderMap,
) -> io::Result<Reply> {
    let size = found.len();
    if coding::is_wanted(path, asked)
        && coding::is_worthwhile(size)
        && let Some(coded) = coder.get(&file, found).await?
    {
        let etag = etag(&name, (size <= SMALL).then_some(coded.digest));
        if is_known(asked, etag.as_deref()) {
            return Ok(describe(empty(StatusCode::NOT_MODIFIED), path, &name, etag.as_deref()));
        }
        let reply = Response::new(Content::Whole(coded.bytes));
        let reply = reply.with_static(CONTENT_ENCODING, coding::ZSTD);
        let weak = etag.map(|etag| format!("W/{etag}"));
        return Ok(describe(reply, path, &name, weak.as_deref()));
    }
    let source =
        if size <= SMALL { Source::Whole(read(file, size).await?) } else { Source::File(file) };
    let etag = etag(&name, source.digest());
    // What was hashed is what is sent, even if the name now means a newer file.
    let size = source.size(size);
    let terms = Terms::of(asked, etag.as_deref(), size);
    let reply = terms.answer(size, |part| source.part(part));
    Ok(describe(reply, path, &name, etag.as_deref()))
}

enum Source {
    Whole(Bytes),
    File(File),
}

impl Source {
    fn size(&self, of_file: u64) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(_) => of_file,
        }
    }

    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Whole(bytes) => Some(Digest::of(bytes)),
            Self::File(_) => None,
        }
    }

    /// It is within the size.
    fn part(self, part: Range<u64>) -> Content {
        match self {
            Self::Whole(bytes) => {
                Content::Whole(bytes.slice(part.start as usize..part.end as usize))
            }
            Self::File(file) => Content::Part(Part::new(file, part)),
        }
    }
}

/// The file's digest, from its name where that has it.
fn etag(name: &Name<'_>, of_contents: Option<Digest>) -> Option<String> {
    match name {
        Name::Target(_, text) => Some(format!("\"{text}\"")),
        _ => of_contents.map(|digest| format!("\"{digest}\"")),
    }
}

fn describe(reply: Reply, path: &str, name: &Name<'_>, etag: Option<&str>) -> Reply {
    let cache = match name {
        Name::Timestamp => "no-cache",
        _ => "public, max-age=31536000, immutable",
    };
    let reply = reply
        .with_static(CONTENT_TYPE, content_type(path))
        .with_static(CACHE_CONTROL, cache)
        .with_static(ACCEPT_RANGES, "bytes")
        .with_static(X_CONTENT_TYPE_OPTIONS, "nosniff");
    let reply = if coding::is_possible(path) {
        // A cache must not hand what is coded to who cannot read it.
        reply.with(VARY, HeaderValue::from_name(ACCEPT_ENCODING))
    } else {
        reply
    };
    match etag {
        Some(etag) => reply.with(ETAG, value(etag)),
        None => reply,
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digests and numbers are ASCII")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("json") => "application/json",
        Some("zst") => "application/zstd",
        Some("gz") => "application/gzip",
        Some("tar") => "application/x-tar",
        Some("whl" | "zip") => "application/zip",
        Some("txt" | "toml" | "md" | "minisig" | "SHA256SUMS") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
