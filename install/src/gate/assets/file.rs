//! From a file to an answer.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::terms::{Terms, decide};
use super::{Item, Shelf, kind};
use crate::gate::body::Body;
use crate::gate::proxy::X_CUTOVER_VERSION;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// A version never changes, and neither does what is below its path.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A file on its way to a client.
#[derive(Debug)]
pub(in crate::gate) struct Reading {
    file: tokio::fs::File,
    left: u64,
}

impl Reading {
    /// Bytes that are still to come.
    pub(in crate::gate) fn left(&self) -> u64 {
        self.left
    }

    /// The next piece; `None` at the end.
    pub(in crate::gate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; wanted];
        let mut buffer = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer));
        let length = buffer.filled().len();
        piece.truncate(length);
        self.left -= length as u64;
        Poll::Ready(Some(match read {
            Ok(()) if length == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(()) => Ok(piece.into()),
            Err(error) => Err(error),
        }))
    }
}

impl Shelf {
    /// Answers a request for the file called `name`.
    pub(in crate::gate) async fn answer(
        self: Arc<Self>,
        name: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> Response<Body> {
        let Some(item) = self.items.get(&name).cloned() else {
            return bare(StatusCode::NOT_FOUND);
        };
        if method != Method::GET && method != Method::HEAD {
            let mut answer = bare(StatusCode::METHOD_NOT_ALLOWED);
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        // Hexadecimal digits in quotes are a value.
        let tag = HeaderValue::try_from(format!("\"{}\"", item.sha256))
            .unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        let terms = decide(headers, &tag, item.size);
        let (mut answer, wanted) = head(&terms, item.size);
        let fields = answer.headers_mut();
        fields.insert(header::ETAG, tag);
        fields.insert(header::CACHE_CONTROL, FOR_EVER);
        fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        fields.insert(X_CUTOVER_VERSION, self.label.clone());
        let Some(wanted) = wanted else { return answer };
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind::of(&name)));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.insert(header::CONTENT_LENGTH, (wanted.end - wanted.start).into());
        if method == Method::HEAD {
            return answer;
        }
        match self.clone().open(item, wanted).await {
            Ok(reading) => answer.map(|_| Body::file(reading)),
            Err(error) => {
                tracing::error!(version = %self.version, name, %error, "cannot serve an asset");
                let gone = error.kind() == io::ErrorKind::NotFound;
                bare(if gone { StatusCode::NOT_FOUND } else { StatusCode::INTERNAL_SERVER_ERROR })
            }
        }
    }

    async fn open(self: Arc<Self>, item: Item, wanted: Range<u64>) -> io::Result<Reading> {
        let (start, left) = (wanted.start, wanted.end - wanted.start);
        let open = move || -> io::Result<File> {
            let mut file = self.prefix.open_file(&item.path).map_err(|error| error.source)?;
            let found = file.metadata()?;
            if !found.is_file() || found.len() != item.size {
                return Err(io::Error::other("it is not what the release has there"));
            }
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        };
        let file = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(PIECE);
        Ok(Reading { file, left })
    }
}

/// The head of an answer, and which bytes follow it.
fn head(terms: &Terms, size: u64) -> (Response<Body>, Option<Range<u64>>) {
    let (status, range, wanted) = match terms {
        Terms::Whole => (StatusCode::OK, None, Some(0..size)),
        Terms::Unchanged => (StatusCode::NOT_MODIFIED, None, None),
        Terms::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, Some(format!("bytes */{size}")), None),
        Terms::Part(part) => {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            (StatusCode::PARTIAL_CONTENT, Some(range), Some(part.clone()))
        }
    };
    let mut answer = bare(status);
    answer.headers_mut().remove(header::CACHE_CONTROL);
    // Digits are a value.
    if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    (answer, wanted)
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::whole(""));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
