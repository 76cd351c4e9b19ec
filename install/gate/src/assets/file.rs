//! From a file to an answer.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use cutover_http::file::Part;
use cutover_http::terms::Terms;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::{Item, Shelf, kind};
use crate::body::Body;
use crate::headers::X_CUTOVER_VERSION;

/// A version never changes, and neither does what is below its path.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

impl Shelf {
    /// Answers a request for the file called `name`.
    pub(crate) async fn answer(
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
        let tag = format!("\"{}\"", item.sha256);
        let terms = Terms::of(headers, Some(&tag), item.size);
        let answer = terms.answer(item.size, Some);
        let (head, wanted) = answer.into_parts();
        let mut answer = Response::from_parts(head, Body::whole(""));
        let fields = answer.headers_mut();
        // Hexadecimal digits in quotes are a value.
        fields.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
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
            Ok(part) => answer.map(|_| Body::file(part)),
            Err(error) => {
                tracing::error!(version = %self.version, name, %error, "cannot serve an asset");
                let gone = error.kind() == io::ErrorKind::NotFound;
                bare(if gone { StatusCode::NOT_FOUND } else { StatusCode::INTERNAL_SERVER_ERROR })
            }
        }
    }

    async fn open(self: Arc<Self>, item: Item, wanted: Range<u64>) -> io::Result<Part> {
        let open = move || -> io::Result<File> {
            let file = self.prefix.open_file(&item.path).map_err(|error| error.source)?;
            let found = file.metadata()?;
            if !found.is_file() || found.len() != item.size {
                return Err(io::Error::other("it is not what the release has there"));
            }
            Ok(file)
        };
        let file = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
        Ok(Part::new(file, wanted))
    }
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::whole(""));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
