//! Sending a body with bounded memory, and noticing when nobody takes it.

use std::io::{self, Read as _};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, RequestBuilder, Response, StatusCode};

use super::answer::retry_after;

/// Bytes of a file in memory at once.
const CHUNK: usize = 256 << 10;
/// Most bytes of a server's explanation that are read.
const MOST_WORDS: usize = 500;

/// A file on its way.
pub(super) struct File {
    file: std::fs::File,
    pub(super) length: u64,
    /// Bytes handed to the connection so far.
    pub(super) sent: Arc<AtomicU64>,
}

impl File {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, sent: Arc::default() })
    }

    /// The file is read where the connection is driven: a thread of its own would only wait.
    pub(super) fn into_body(self) -> Body {
        Body::wrap_stream(stream::try_unfold(self, |mut this| async {
            let mut chunk = Vec::with_capacity(CHUNK);
            let count = (&mut this.file).take(CHUNK as u64).read_to_end(&mut chunk)?;
            this.sent.fetch_add(count as u64, Ordering::Relaxed);
            Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(chunk), this)))
        }))
    }
}

/// What a server said to a request.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Its explanation, one line, where it is text.
    pub(super) words: String,
    /// When it asks to come back.
    pub(super) after: Option<Duration>,
}

/// Sends a request, or gives up (`None`) when nothing of it was taken for `patience`.
pub(super) async fn send(
    request: RequestBuilder,
    patience: Duration,
    sent: &AtomicU64,
) -> reqwest::Result<Option<Answer>> {
    let mut answer = pin!(request.send());
    let mut seen = sent.load(Ordering::Relaxed);
    loop {
        if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
            let answer = answer?;
            let status = answer.status();
            let after = retry_after(status, answer.headers());
            let words = tokio::time::timeout(patience, words(answer)).await.unwrap_or_default();
            return Ok(Some(Answer { status, words, after }));
        }
        let now = sent.load(Ordering::Relaxed);
        if now == seen {
            return Ok(None);
        }
        seen = now;
    }
}

/// Reads an explanation to its end, so that the connection can be used again, unless it is long.
async fn words(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_WORDS {
            bytes.truncate(MOST_WORDS);
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    match text.trim() {
        html if html.starts_with('<') => String::new(),
        text => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    }
}
