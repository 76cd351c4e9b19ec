//! From a request's body to a file of the store.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cutover_formats::digest::Digest;
use cutover_formats::minisign::Minisig;
use cutover_repository::file::FileStore;
use cutover_repository::store::{
    Body, Create as _, Created, Read as _, StoreError, Swap as _, Swapped,
};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::Digest as _;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use crate::condition::Condition;
use crate::site::Site;

/// How long a client may send nothing.
const SENDS: Duration = Duration::from_secs(60);
/// Pieces of a body in memory at once.
const PIECES: usize = 4;
/// More bytes than any timestamp has.
pub(crate) const LARGEST_TIMESTAMP: u64 = 1 << 20;

/// A file that may come.
pub(crate) struct Upload {
    pub(crate) path: String,
    pub(crate) condition: Condition,
    /// What it must be, by its name.
    pub(crate) shape: Shape,
    pub(crate) limit: u64,
}

/// What a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Anything with this digest.
    Digest(Digest),
    /// Metadata, whoever signed it.
    Metadata,
    /// A signature for `minisign`, whoever made it.
    Signature,
}

/// How an upload ended.
pub(crate) enum Ended {
    Made,
    Replaced,
    Exists,
    Changed,
    TooLarge(u64),
    OtherDigest(Digest),
    NoMetadata(String),
    NoSignature,
    Stale { old: u64, new: u64 },
    Broken,
    Failed(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

enum Piece {
    Bytes(Bytes),
    /// The body came whole.
    End,
}

/// Takes the body in and stores it. The store is written on a thread that may wait for it.
pub(crate) async fn receive(site: &Arc<Site>, upload: Upload, mut body: Incoming) -> Ended {
    // The semaphore is never closed.
    let _slot = site.uploads.acquire().await;
    let (sender, receiver) = mpsc::channel(PIECES);
    let writer = site.clone();
    let storing = tokio::task::spawn_blocking(move || {
        store(&writer.store, &upload, receiver).unwrap_or_else(|ended| ended)
    });
    loop {
        let piece = match tokio::time::timeout(SENDS, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Piece::Bytes(bytes),
                Err(_trailers) => continue,
            },
            Ok(None) => Piece::End,
            Ok(Some(Err(_))) | Err(_) => break,
        };
        let last = matches!(piece, Piece::End);
        // A writer that has gone has said why.
        if sender.send(piece).await.is_err() || last {
            break;
        }
    }
    drop(sender);
    storing.await.unwrap_or(Ended::Broken)
}

fn store(
    store: &FileStore,
    upload: &Upload,
    pieces: mpsc::Receiver<Piece>,
) -> Result<Ended, Ended> {
    let mut temp = store.temp_file()?;
    let digest = write(&mut temp, upload.limit, pieces)?;
    let reopened = || temp.reopen().map_err(|error| unreadable(&temp, error));
    match upload.shape {
        Shape::Digest(expected) if expected != digest => return Err(Ended::OtherDigest(digest)),
        Shape::Digest(_) => {}
        Shape::Metadata => {
            parse(reopened()?)?;
        }
        Shape::Signature => {
            let text = std::io::read_to_string(reopened()?).ok();
            let signature = text.and_then(|text| text.parse::<Minisig>().ok());
            signature.ok_or(Ended::NoSignature)?;
        }
    }
    match upload.condition {
        Condition::Is(expected) => swap(store, upload, expected, &temp),
        Condition::Absent => Ok(match store.create(&upload.path, Body::File(temp.path()))? {
            Created::New => Ended::Made,
            Created::Exists => Ended::Exists,
        }),
    }
}

/// Writes what comes, up to `limit` bytes, and says which digest it has.
fn write(
    temp: &mut NamedTempFile,
    limit: u64,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<Digest, Ended> {
    let mut hash = sha2::Sha256::new();
    let mut left = limit;
    loop {
        let bytes = match pieces.blocking_recv().ok_or(Ended::Broken)? {
            Piece::Bytes(bytes) => bytes,
            Piece::End => return Ok(Digest::from(<[u8; 32]>::from(hash.finalize()))),
        };
        left = left.checked_sub(bytes.len() as u64).ok_or(Ended::TooLarge(limit))?;
        hash.update(&bytes);
        temp.write_all(&bytes).map_err(|error| unwritable(temp, error))?;
    }
}

/// Replaces the timestamp, if it is the expected one and its version rises.
fn swap(
    store: &FileStore,
    upload: &Upload,
    expected: Digest,
    temp: &NamedTempFile,
) -> Result<Ended, Ended> {
    let old = match store.get(&upload.path, LARGEST_TIMESTAMP) {
        Ok(old) if Digest::of(&old) == expected => old,
        Ok(_) => return Ok(Ended::Changed),
        Err(error) if error.is_not_found() => return Ok(Ended::Changed),
        Err(error) => return Err(error.into()),
    };
    let new = std::fs::read(temp.path()).map_err(|error| unreadable(temp, error))?;
    let versions = (parse(&*old)?.signed.version, parse(&*new)?.signed.version);
    if let (Some(old), Some(new)) = versions
        && new <= old
    {
        return Err(Ended::Stale { old, new });
    }
    Ok(match store.swap(&upload.path, Some(&old), &new)? {
        Swapped::Done => Ended::Replaced,
        Swapped::Changed => Ended::Changed,
    })
}

/// What the server looks at in metadata: its shape and its version, not its signatures. Clients
/// do that, and this server is not to be believed.
#[derive(Deserialize)]
struct Metadata {
    signed: Signed,
    #[serde(rename = "signatures")]
    _signatures: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Signed {
    version: Option<u64>,
}

fn parse(json: impl std::io::Read) -> Result<Metadata, Ended> {
    serde_json::from_reader(std::io::BufReader::new(json))
        .map_err(|error| Ended::NoMetadata(error.to_string()))
}

fn unwritable(temp: &NamedTempFile, error: std::io::Error) -> Ended {
    let what = temp.path().display().to_string();
    Ended::Failed(StoreError::from_write(&what, error))
}

fn unreadable(temp: &NamedTempFile, source: std::io::Error) -> Ended {
    Ended::Failed(StoreError::Io { what: temp.path().display().to_string(), source })
}
