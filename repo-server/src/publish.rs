//! Taking files in.
//!
//! Whether a `PUT` is allowed and makes sense is decided before its body is read; then the body
//! goes to a temporary file of the store, is checked, and gets its name. The store decides races.

use std::sync::Arc;
use std::time::Duration;

use cutover_formats::minisign;
use cutover_repository::client::caps;
use cutover_repository::store::StoreError;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, EXPECT, HeaderMap, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Request, StatusCode};

use crate::condition::{Condition, Unconditional};
use crate::confined::{Asked, Kind};
use crate::name::Name;
use crate::reply::{Reply, With as _, empty, text};
use crate::site::Site;
use crate::tokens::Owner;
use crate::uncommitted::Full;
use crate::upload::{self, Ended, Shape, Upload};

/// How long the rest of a refused body is taken, so that the client gets to read why.
const LINGER: Duration = Duration::from_secs(5);

/// Answers a `PUT`.
pub(crate) async fn put(site: &Arc<Site>, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    match admit(site, &request).await {
        Ok((upload, owner)) => {
            let ended = upload::receive(site, upload, &owner, request.into_body()).await;
            explain(&path, &owner.name, ended)
        }
        Err(refusal) => {
            linger(request);
            *refusal
        }
    }
}

/// What is to be done and by whom, or why not.
async fn admit(
    site: &Arc<Site>,
    request: &Request<Incoming>,
) -> Result<(Upload, Owner), Box<Reply>> {
    let owner = authorise(site, request.headers())?;
    let no_place = || refused(StatusCode::NOT_FOUND, "files of a repository have other paths");
    let asked = Asked::parse(request.uri().path()).filter(|asked| asked.kind == Kind::File);
    let asked = asked.ok_or_else(no_place)?;
    let (shape, limit) = match Name::of(&asked.path).ok_or_else(no_place)? {
        Name::Target(digest, _) => (Shape::Digest(digest), site.max_upload),
        Name::Signature => (Shape::Signature, minisign::LARGEST),
        Name::Timestamp => (Shape::Timestamp, caps::TIMESTAMP),
        Name::Root(version) => (Shape::Root(version), caps::ROOT),
        Name::Snapshot(version) => (Shape::Snapshot(version), caps::SNAPSHOT),
        Name::Metadata => (Shape::Metadata, caps::TARGETS),
        Name::Other => return Err(no_place()),
    };
    let name = Name::of(&asked.path).ok_or_else(no_place)?;
    let condition = condition(request.headers(), name)?;
    if request.body().size_hint().lower() > limit {
        return Err(Box::new(too_large(limit)));
    }
    if condition == Condition::Absent {
        let path = asked.path.clone().into_owned();
        site.ask(move |site| site.uncommitted.renew(&path)).await;
        if site.files.get(&asked.path).await.is_ok() {
            return Err(Box::new(exists()));
        }
    }
    let path = asked.path.into_owned();
    Ok((Upload { path, owner: owner.name.clone(), condition, shape, limit }, owner))
}

fn authorise(site: &Site, headers: &HeaderMap) -> Result<Owner, Box<Reply>> {
    let Some(tokens) = &site.tokens else {
        let why = "this server takes no uploads: it was started without --tokens";
        return Err(refused(StatusCode::FORBIDDEN, why));
    };
    let unknown = |why| {
        let reply = text(StatusCode::UNAUTHORIZED, why);
        Err(Box::new(reply.with_static(WWW_AUTHENTICATE, "Bearer realm=\"publishing\"")))
    };
    let Some(given) = headers.get(AUTHORIZATION) else {
        return unknown("publishing needs a bearer token");
    };
    let token = given.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token.and_then(|(_, token)| tokens.owner(token.trim())) {
        Some(owner) => Ok(owner.clone()),
        None => unknown("this server does not know the token"),
    }
}

fn condition(headers: &HeaderMap, name: Name<'_>) -> Result<Condition, Box<Reply>> {
    // What is no text is no condition either.
    let text_of = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    Condition::of(text_of(IF_NONE_MATCH), text_of(IF_MATCH), name).map_err(|error| match error {
        Unconditional::Missing(why) => refused(StatusCode::PRECONDITION_REQUIRED, why),
        Unconditional::Malformed(why) => refused(StatusCode::BAD_REQUEST, why),
    })
}

fn refused(status: StatusCode, why: &str) -> Box<Reply> {
    Box::new(text(status, why))
}

fn exists() -> Reply {
    text(StatusCode::PRECONDITION_FAILED, "the file exists; it was left as it is")
}

fn too_large(limit: u64) -> Reply {
    let line = format!("the file is larger than {limit} bytes, the most that this server takes");
    text(StatusCode::PAYLOAD_TOO_LARGE, &line)
}

/// The end of an upload, in words and in the log.
fn explain(path: &str, owner: &str, ended: Ended) -> Reply {
    match ended {
        Ended::Made => {
            tracing::info!("{owner} published {path:?}");
            empty(StatusCode::CREATED)
        }
        Ended::Replaced => {
            tracing::info!("{owner} replaced {path:?}");
            empty(StatusCode::NO_CONTENT)
        }
        Ended::Exists => exists(),
        Ended::Changed => text(
            StatusCode::PRECONDITION_FAILED,
            "the file is not the expected one; it was left as it is",
        ),
        Ended::TooLarge(limit) => too_large(limit),
        Ended::OtherDigest(digest) => text(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("the contents have the sha256 {digest}, not the one in the name"),
        ),
        Ended::NoMetadata(why) => text(StatusCode::BAD_REQUEST, &format!("no metadata: {why}")),
        Ended::NoSignature => text(StatusCode::BAD_REQUEST, "no minisign signature"),
        Ended::Stale { old, new } => text(
            StatusCode::CONFLICT,
            &format!("the version must rise: it is {old}, and this one has {new}"),
        ),
        Ended::Untrusted { file, why } => {
            tracing::warn!("{path:?} from {owner} was not taken: {file}: {why}");
            let line = format!("readers would not trust {file}: {why}; nothing was changed");
            text(StatusCode::UNPROCESSABLE_ENTITY, &line)
        }
        Ended::Full(full) => {
            let most = match full {
                Full::Bytes(bytes) => format!("more than {bytes} bytes"),
                Full::Versions(versions) => format!("{versions} versions of this role"),
            };
            let why = "were uploaded with this token and are in no commit; nothing was stored";
            text(StatusCode::INSUFFICIENT_STORAGE, &format!("{most} {why}"))
        }
        Ended::Slow(rate) => text(
            StatusCode::REQUEST_TIMEOUT,
            &format!("the file came at less than {rate} bytes a second; nothing was stored"),
        )
        .with_static(CONNECTION, "close"),
        Ended::Busy => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many uploads are under way; nothing was stored, try again",
        )
        .with_static(RETRY_AFTER, "10")
        .with_static(CONNECTION, "close"),
        Ended::Broken => {
            text(StatusCode::BAD_REQUEST, "the request body ended early; nothing was stored")
        }
        Ended::Failed(error) => failed(path, &error),
    }
}

fn failed(path: &str, error: &StoreError) -> Reply {
    tracing::warn!("cannot store {path:?}: {error}");
    match error {
        StoreError::NoSpace { .. } => {
            text(StatusCode::INSUFFICIENT_STORAGE, "the repository's disk is full")
        }
        StoreError::Path(_) => text(StatusCode::BAD_REQUEST, &error.to_string()),
        _ => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server cannot write to its store; its log says why",
        ),
    }
}

/// Takes what is still coming of a refused body: a connection that is closed with unread bytes is
/// reset, and the answer lost. A client that waits for leave to send is not given it.
fn linger(request: Request<Incoming>) {
    if request.headers().contains_key(EXPECT) || request.body().is_end_stream() {
        return;
    }
    let mut body = request.into_body();
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        while matches!(body.frame().await, Some(Ok(_))) {}
    }));
}
