//! A client's request becomes one that the gate may send, or is stopped here, as RFC 9110 and 9112 say.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, StatusCode, Uri, Version};

use cutover_formats::node_toml::Upgrade;

use super::headers::{self, Client, Framing};

/// Through how many hands a TRACE or OPTIONS may go.
const MAX_FORWARDS: HeaderName = HeaderName::from_static("max-forwards");

/// Why a request does not go to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is none that the gate passes on.
    Refused(StatusCode, &'static str),
    /// It asks what can be asked of whoever has it last, and that is the gate.
    Options,
}

impl Stop {
    fn bad(why: &'static str) -> Self {
        Self::Refused(StatusCode::BAD_REQUEST, why)
    }
}

/// Makes a client's request one that the gate may send. What it wants its connection to become, if the
/// gate lets it, has been taken off and is handed back.
pub(super) fn prepare<B>(
    request: &mut Request<B>,
    client: &Client,
    upgrades: &[Upgrade],
) -> Result<Option<HeaderValue>, Stop> {
    settle_method(request)?;
    settle_host(request)?;
    let upgrade = headers::wanted_upgrade(request.version(), request.headers(), upgrades);
    let headers = request.headers_mut();
    headers::strip_impostors(headers);
    match headers::strip(headers) {
        Framing::Plain => {}
        // Else hyper thinks that GET has no body.
        Framing::Chunked => {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Framing::Unknown => {
            let why = "this transfer coding is not known";
            return Err(Stop::Refused(StatusCode::NOT_IMPLEMENTED, why));
        }
    }
    client.announce(headers);
    *request.version_mut() = Version::HTTP_11;
    Ok(upgrade)
}

/// TRACE would have the service repeat what others have added to the request on its way: the gate knows
/// it and does not do it. OPTIONS ends where its last forward is used up.
fn settle_method<B>(request: &mut Request<B>) -> Result<(), Stop> {
    match *request.method() {
        Method::CONNECT => {
            let why = "this is not a forward proxy";
            Err(Stop::Refused(StatusCode::METHOD_NOT_ALLOWED, why))
        }
        Method::TRACE => {
            Err(Stop::Refused(StatusCode::METHOD_NOT_ALLOWED, "requests are not traced here"))
        }
        Method::OPTIONS => forward(request.headers_mut()),
        _ if request.uri().path() == "*" => Err(Stop::bad("`*` is a target for OPTIONS only")),
        _ => Ok(()),
    }
}

fn forward(headers: &mut HeaderMap) -> Result<(), Stop> {
    let left = headers.get(MAX_FORWARDS).and_then(|left| left.to_str().ok());
    match left.and_then(|left| left.parse::<u64>().ok()) {
        None => Ok(()),
        Some(0) => Err(Stop::Options),
        Some(left) => {
            headers.insert(MAX_FORWARDS, (left - 1).into());
            Ok(())
        }
    }
}

/// RFC 9112 section 3.2: one host, named in one place, and nothing else than a host.
fn settle_host<B>(request: &mut Request<B>) -> Result<(), Stop> {
    const NO_HOST: Stop = Stop::Refused(
        StatusCode::BAD_REQUEST,
        "this is not the name of a host, perhaps with a port",
    );
    if let Some(authority) = request.uri().authority() {
        let host = authority.as_str();
        let scheme = request.uri().scheme();
        if !scheme.is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
            return Err(Stop::bad("a target is a path, or begins with http:// or https://"));
        }
        if !is_host(host.as_bytes()) {
            return Err(NO_HOST);
        }
        let host = HeaderValue::try_from(host).map_err(|_| NO_HOST)?;
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        request.headers_mut().insert(header::HOST, host);
        return Ok(());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), request.version()) {
        (Some(host), None, _) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None, _) => Err(NO_HOST),
        (None, _, Version::HTTP_10) => {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
            Ok(())
        }
        _ => Err(Stop::bad("a request names exactly one host")),
    }
}

/// Whether all of it may stand in a host and a port. Who may be asked for is the service's affair; that
/// nobody takes a user, a path or two words for a part of it is the gate's.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(request: hyper::http::request::Builder) -> Result<Request<()>, Stop> {
        let client = Client::new([127, 0, 0, 1].into());
        let mut request = request.body(()).unwrap();
        prepare(&mut request, &client, &[Upgrade::websocket()]).map(|_| request)
    }

    #[test]
    fn a_host_is_a_host() {
        let host = |host: &str| prepared(Request::get("/").header("host", host));
        for good in ["", "a", "A-b.example:80", "[::1]:8080", "10.0.0.1", "_x.example", "xn--a"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in ["a b", " ", "u@a", "a/b", "a\\b", "a?b", "a#b", "\"a\"", "a\tb", "<a>"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_a_path_or_a_whole_address() {
        let get = |target: &str| prepared(Request::get(target).header("host", "a"));
        let request = get("http://b:81/c?d").unwrap();
        assert_eq!(
            (request.uri().to_string(), &request.headers()["host"]),
            ("/c?d".to_owned(), &HeaderValue::from_static("b:81"))
        );
        for bad in ["http://u@b/", "http://u:p@b/", "ftp://b/", "b:80", "*"] {
            assert!(get(bad).is_err(), "{bad}");
        }
        assert!(prepared(Request::options("*").header("host", "a")).is_ok());
    }

    #[test]
    fn a_question_for_options_goes_so_far_and_no_further() {
        let options = |left: &str| {
            prepared(Request::options("/").header("host", "a").header("max-forwards", left))
        };
        assert_eq!(options("0").unwrap_err(), Stop::Options);
        assert_eq!(options("3").unwrap().headers()["max-forwards"], "2");
        assert_eq!(options("many").unwrap().headers()["max-forwards"], "many");
        let get = prepared(Request::get("/").header("host", "a").header("max-forwards", "0"));
        assert!(get.is_ok(), "it means nothing there");
        let trace = prepared(Request::builder().method("TRACE").uri("/").header("host", "a"));
        assert!(trace.is_err());
    }
}
