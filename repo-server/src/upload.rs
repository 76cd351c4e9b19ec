//! From a request's body to a file of the store.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cutover_formats::digest::Digest;
use cutover_formats::minisign::Minisig;
use cutover_http::pace::Pace;
use cutover_repository::store::{
    Body, Create as _, Created, Read as _, StoreError, Swap as _, Swapped,
};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::Digest as _;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use crate::commit::{self, Objection};
use crate::condition::Condition;
use crate::site::Site;
use crate::tokens::Owner;
use crate::uncommitted::{Full, Noted};
use crate::visible::Visible;

/// How long an upload waits for a place.
const QUEUE: Duration = Duration::from_secs(60);
/// What stands in the timestamp's place is replaced up to this size, even if no client would read it.
const LARGEST_REPLACED: u64 = 1 << 20;
/// Pieces of a body in memory at once.
const PIECES: usize = 4;

/// A file that may come.
pub(crate) struct Upload {
    pub(crate) path: String,
    /// With whose token it comes.
    pub(crate) owner: String,
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
    /// The root of this version.
    Root(u64),
    /// The snapshot of this version.
    Snapshot(u64),
    /// Metadata of another role, whoever signed it: who may, is only known when it is committed.
    Metadata,
    /// The one file whose replacement is a commit.
    Timestamp,
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
    Stale {
        old: u64,
        new: u64,
    },
    /// A client would not take what it would see then.
    Untrusted {
        file: String,
        why: String,
    },
    /// The client sent too little for too long; what it has to send, bytes a second.
    Slow(u64),
    /// Too much waits for a commit already.
    Full(Full),
    /// There was no place for it.
    Busy,
    Broken,
    Failed(StoreError),
}

impl From<Objection> for Ended {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::Untrusted { file, why } => Self::Untrusted { file, why },
            Objection::Stale { old, new } => Self::Stale { old, new },
            Objection::Failed(error) => Self::Failed(error),
        }
    }
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
pub(crate) async fn receive(
    site: &Arc<Site>,
    upload: Upload,
    owner: &Owner,
    mut body: Incoming,
) -> Ended {
    // Its own first, so that who waits for that takes no place from others. Neither is ever closed.
    let places = async { (owner.places.acquire().await, site.uploads.acquire().await) };
    let Ok(_places) = tokio::time::timeout(QUEUE, places).await else {
        site.metrics.upload_without_place.fetch_add(1, Ordering::Relaxed);
        return Ended::Busy;
    };
    let (sender, receiver) = mpsc::channel(PIECES);
    let writer = site.clone();
    let storing = tokio::task::spawn_blocking(move || {
        store(&writer, &upload, receiver).unwrap_or_else(|ended| ended)
    });
    let mut pace = Pace::new(site.rules);
    loop {
        let began = Instant::now();
        let piece = match tokio::time::timeout(pace.left(), body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Piece::Bytes(bytes),
                Err(_trailers) => continue,
            },
            Ok(None) => Piece::End,
            Ok(Some(Err(_))) => break,
            Err(_) => {
                site.metrics.slow_upload.fetch_add(1, Ordering::Relaxed);
                return Ended::Slow(site.rules.rate);
            }
        };
        if let Piece::Bytes(bytes) = &piece {
            pace.moved(began.elapsed(), bytes.len());
        }
        let last = matches!(piece, Piece::End);
        // A writer that has gone has said why.
        if sender.send(piece).await.is_err() || last {
            break;
        }
    }
    drop(sender);
    storing.await.unwrap_or(Ended::Broken)
}

fn store(site: &Site, upload: &Upload, pieces: mpsc::Receiver<Piece>) -> Result<Ended, Ended> {
    let store = &site.store;
    let mut temp = store.temp_file()?;
    let digest = write(&mut temp, upload.limit, pieces)?;
    let reopened = || temp.reopen().map_err(|error| unreadable(&temp, error));
    match upload.shape {
        Shape::Digest(expected) if expected != digest => return Err(Ended::OtherDigest(digest)),
        Shape::Digest(_) => {}
        Shape::Metadata | Shape::Root(_) | Shape::Snapshot(_) | Shape::Timestamp => {
            parse(reopened()?)?;
        }
        Shape::Signature => {
            let text = std::io::read_to_string(reopened()?).ok();
            let signature = text.and_then(|text| text.parse::<Minisig>().ok());
            signature.ok_or(Ended::NoSignature)?;
        }
    }
    let whole = || std::fs::read(temp.path()).map_err(|error| unreadable(&temp, error));
    match (upload.shape, upload.condition) {
        (_, Condition::Is(expected)) => return swap(site, upload, expected, &whole()?),
        (Shape::Timestamp, Condition::Absent) => return commit(site, upload, None, &whole()?),
        (Shape::Root(version), _) => commit::check_root(store, version, &whole()?)?,
        (Shape::Snapshot(version), _) => commit::check_snapshot(store, version, &whole()?)?,
        _ => {}
    }
    if let Some(ended) = note(site, upload, &temp)? {
        return Ok(ended);
    }
    Ok(match store.create(&upload.path, Body::File(temp.path()))? {
        Created::New => Ended::Made,
        Created::Exists => Ended::Exists,
    })
}

/// Notes that the file waits for a commit, or says why it does not. A root waits for none: it is a commit.
fn note(site: &Site, upload: &Upload, temp: &NamedTempFile) -> Result<Option<Ended>, Ended> {
    if matches!(upload.shape, Shape::Root(_)) {
        return Ok(None);
    }
    let size = temp.as_file().metadata().map_err(|error| unreadable(temp, error))?.len();
    let exists = || site.store.stream(&upload.path, 0, 0).is_ok();
    match site.uncommitted.note((&upload.path, size), &upload.owner, exists) {
        Ok(Noted::Waits) => Ok(None),
        Ok(Noted::Exists) => Ok(Some(Ended::Exists)),
        Ok(Noted::Full(full)) => Ok(Some(Ended::Full(full))),
        Err(error) => Err(unwritable(temp, error)),
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

/// Replaces the timestamp, if it is the expected one, and what it makes visible verifies.
fn swap(site: &Site, upload: &Upload, expected: Digest, new: &[u8]) -> Result<Ended, Ended> {
    let store = &site.store;
    let old = match store.get(&upload.path, LARGEST_REPLACED) {
        Ok(old) if Digest::of(&old) == expected => old,
        Ok(_) => return Ok(Ended::Changed),
        Err(error) if error.is_not_found() => return Ok(Ended::Changed),
        Err(error) => return Err(error.into()),
    };
    commit(site, upload, Some(&old), new)
}

/// Puts the timestamp `new` in the place of `old`, if what it makes visible verifies.
fn commit(site: &Site, upload: &Upload, old: Option<&[u8]>, new: &[u8]) -> Result<Ended, Ended> {
    site.uncommitted.commit(|| {
        let named = site.commits.check(&site.store, old, new, Timestamp::now())?;
        let swapped = site.store.swap(&upload.path, old, new)?;
        Ok(match (swapped, old) {
            (Swapped::Done, None) => (Ended::Made, named),
            (Swapped::Done, Some(_)) => (Ended::Replaced, named),
            (Swapped::Changed, None) => (Ended::Exists, Visible::default()),
            (Swapped::Changed, Some(_)) => (Ended::Changed, Visible::default()),
        })
    })
}

/// What is looked at first in all metadata: whether it is any.
#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "signed")]
    _signed: Signed,
    #[serde(rename = "signatures")]
    _signatures: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "version")]
    _version: u64,
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
