//! What becomes of header fields on their way through.
//!
//! Hop-by-hop fields are taken off as RFC 9110 section 7.6.1 says. How a message is framed is left
//! to hyper, which refuses what can be read in two ways (two lengths, `Transfer-Encoding` that does
//! not end in `chunked` or comes from HTTP/1.0) and, where both are given, drops `Content-Length`.

use std::net::IpAddr;

use cutover_formats::node_toml::Upgrade;
use hyper::Version;
use hyper::body::Body;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Names the release that served an answer.
pub(super) const X_CUTOVER_VERSION: HeaderName = HeaderName::from_static("x-cutover-version");
/// Names a request all the way through.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name of a request that is taken over from a client.
const LONGEST_ID: usize = 128;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What goes with an upgrade to HTTP/2.
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What all fields begin with that tell of the client, and of the address that it asked.
const FORWARDED: &str = "x-forwarded-";

/// Fields that `Connection` cannot take off, because the message would mean something else, or because
/// they are the gate's own or those of a front end.
const NEEDED: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::FORWARDED,
    header::VIA,
    X_REQUEST_ID,
    X_REAL_IP,
];

/// A client, as the service is told of it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    address: HeaderValue,
}

impl Client {
    /// The client at `address`.
    pub(super) fn new(address: IpAddr) -> Self {
        // An IP address is printable ASCII.
        let address = HeaderValue::try_from(address.to_canonical().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { address }
    }

    /// Its address.
    pub(super) fn address(&self) -> &HeaderValue {
        &self.address
    }

    /// Tells the service who asks, after whatever a proxy in front has told already.
    ///
    /// `X-Forwarded-Proto` and `-Host` of a proxy in front stand, because only it knows whether
    /// the client came by TLS. `Forwarded` is left alone.
    pub(super) fn announce(&self, headers: &mut HeaderMap) {
        let chain = match headers.contains_key(X_FORWARDED_FOR) {
            true => self.chained(headers),
            false => self.address.clone(),
        };
        headers.insert(X_FORWARDED_FOR, chain);
        let scheme = || HeaderValue::from_static("http");
        headers.entry(X_FORWARDED_PROTO).or_insert_with(scheme);
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
    }

    fn chained(&self, headers: &HeaderMap) -> HeaderValue {
        let mut chain = Vec::new();
        for value in headers.get_all(X_FORWARDED_FOR) {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(self.address.as_bytes());
        HeaderValue::from_bytes(&chain).unwrap_or_else(|_| self.address.clone())
    }
}

/// The name that a client gave its request, if it is a plain word that can go into any log.
pub(super) fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let (Some(id), None) = (ids.next(), ids.next()) else { return None };
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let plain = (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(word);
    plain.then(|| id.clone())
}

/// Takes off fields that only pretend to be one of those that the gate answers for.
///
/// CGI and WSGI know `X_Forwarded_For` and `X-Forwarded-For` by the same name.
pub(super) fn strip_impostors(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| name.as_str().contains('_')) {
        return;
    }
    let ours = [
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        X_REQUEST_ID,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
    ];
    let pretends = |name: &HeaderName| {
        name.as_str().contains('_')
            && ours.iter().any(|ours| ours.as_str() == name.as_str().replace('_', "-"))
    };
    let impostors: Vec<HeaderName> =
        headers.keys().filter(|name| pretends(name)).cloned().collect();
    for name in impostors {
        headers.remove(name);
    }
}

/// The first of the protocols that a request wants its connection to become which is one of `known`.
/// All others are passed over, as RFC 9110 section 7.8 lets a server do, and what comes from HTTP/1.0.
pub(super) fn wanted_upgrade(
    version: Version,
    headers: &HeaderMap,
    known: &[Upgrade],
) -> Option<HeaderValue> {
    // Nearly every request ends here.
    upgrade(headers).filter(|_| version == Version::HTTP_11)?;
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    let mut wanted = values.flat_map(|value| value.split(',')).map(str::trim);
    let wanted = wanted.find(|wanted| known.iter().any(|known| known.is(wanted)))?;
    HeaderValue::try_from(wanted).ok()
}

/// Has the length of an answer said once, where it was said as a list or more than once.
pub(super) fn settle_length(headers: &mut HeaderMap, body: &impl Body) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let digits = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    match (lengths.next(), lengths.next()) {
        (None, _) => {}
        (Some(length), None) if digits(length) => {}
        _ => match body.size_hint().exact() {
            Some(length) if !body.is_end_stream() => {
                headers.insert(header::CONTENT_LENGTH, length.into());
            }
            _ => drop(headers.remove(header::CONTENT_LENGTH)),
        },
    }
}

/// What a request or answer wants its connection to become, e.g. `websocket`.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let upgrade = headers.get(header::UPGRADE)?;
    tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade")).then(|| upgrade.clone())
}

/// Puts an upgrade back that [`strip`] took off.
pub(super) fn set_upgrade(headers: &mut HeaderMap, upgrade: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, upgrade);
}

/// Whether a field is meant for one hop only. Looking at the few names that a message has is cheaper
/// than looking each of these up.
fn of_one_hop(name: &HeaderName) -> bool {
    [header::CONNECTION, header::TE, header::UPGRADE, header::TRANSFER_ENCODING].contains(name)
        || *name == KEEP_ALIVE
        || *name == HTTP2_SETTINGS
        || *name == PROXY_CONNECTION
}

/// Takes off what is meant for this hop only; tells whether the message was chunked.
pub(super) fn strip(headers: &mut HeaderMap) -> Framing {
    if !headers.keys().any(of_one_hop) {
        return Framing::Plain;
    }
    if headers.contains_key(header::CONNECTION) {
        strip_nominated(headers);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS, header::TE, header::UPGRADE] {
        headers.remove(name);
    }
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter().count();
    match headers.remove(header::TRANSFER_ENCODING) {
        Some(_) if codings > 1 => Framing::Unknown,
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        Some(_) => Framing::Unknown,
        None => Framing::Plain,
    }
}

/// How the sender framed a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length, or it has no body.
    Plain,
    /// In chunks.
    Chunked,
    /// By a coding that the gate does not undo.
    Unknown,
}

fn strip_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = tokens(headers)
        .filter(|token| !["close", "keep-alive", "upgrade"].contains(token))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !NEEDED.contains(name) && !name.as_str().starts_with(FORWARDED))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    headers.remove(header::CONNECTION);
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_this_hops_fields_are_taken_off() {
        let mut fields = headers(&[
            ("connection", "close, X-Mine"),
            (
                "connection",
                "host, content-length, X-Request-Id, x-forwarded-for, transfer-encoding",
            ),
            ("x-request-id", "4"),
            ("x-forwarded-for", "5"),
            ("http2-settings", "AAMAAABk"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("host", "a"),
            ("content-length", "3"),
            ("x-yours", "2"),
        ]);
        assert_eq!(strip(&mut fields), Framing::Chunked);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "x-forwarded-for", "x-request-id", "x-yours"]);
        assert_eq!(strip(&mut headers(&[("transfer-encoding", "gzip")])), Framing::Unknown);
    }

    #[test]
    fn one_coding_is_enough() {
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(strip(&mut headers(&twice)), Framing::Unknown);
    }

    #[test]
    fn names_of_requests_are_plain_words() {
        let id = |value| request_id(&headers(&[("x-request-id", value)]));
        assert_eq!(id("1f-a_b.c:d/e+f==").unwrap(), "1f-a_b.c:d/e+f==");
        for value in ["", "a b", "a\"b", "a,b", "a;b"] {
            assert_eq!(id(value), None, "{value}");
        }
        let long: &'static str = "x".repeat(129).leak();
        assert_eq!((id(long), id(&long[1..]).is_some()), (None, true));
        assert_eq!(request_id(&headers(&[("x-request-id", "a"), ("x-request-id", "b")])), None);
    }

    #[test]
    fn impostors_are_taken_off() {
        let mut fields = headers(&[
            ("x_forwarded_for", "1"),
            ("x-forwarded_proto", "https"),
            ("content_length", "5"),
            ("x_request-id", "1"),
            ("my_field", "stays"),
            ("host", "stays"),
        ]);
        strip_impostors(&mut fields);
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn an_upgrade_needs_both_fields() {
        let both = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade(&both).unwrap(), "websocket");
        assert_eq!(upgrade(&headers(&[("upgrade", "websocket")])), None);
    }

    #[test]
    fn only_known_upgrades_are_passed_on() {
        let known = [Upgrade::websocket(), "spdy/3.1".parse().unwrap()];
        let wanted = |version, upgrade| {
            let fields = headers(&[("connection", "upgrade"), ("upgrade", upgrade)]);
            wanted_upgrade(version, &fields, &known)
        };
        assert_eq!(wanted(Version::HTTP_11, "WebSocket").unwrap(), "WebSocket");
        assert_eq!(wanted(Version::HTTP_11, "h2c, SPDY/3.1, websocket").unwrap(), "SPDY/3.1");
        assert_eq!(wanted(Version::HTTP_11, "h2c"), None);
        assert_eq!(wanted(Version::HTTP_10, "websocket"), None);
    }

    #[test]
    fn a_length_is_said_once() {
        let settled = |fields: &[(&'static str, &'static str)], body: &'static str| {
            let mut fields = headers(fields);
            settle_length(&mut fields, &http_body_util::Full::<&[u8]>::new(body.as_bytes()));
            fields
        };
        let one = ("content-length", "3");
        assert_eq!(settled(&[one], "abc")["content-length"], "3");
        for fields in [&[one, one][..], &[("content-length", "3, 3")]] {
            let said = settled(fields, "abc");
            assert_eq!((said.len(), &said["content-length"]), (1, &"3".parse().unwrap()));
        }
        assert!(settled(&[("content-length", "3, 4")], "").is_empty(), "an answer to HEAD");
    }

    #[test]
    fn clients_are_chained() {
        let client = Client::new("::ffff:10.0.0.9".parse().unwrap());
        let mut fields = headers(&[("host", "site"), ("x-forwarded-proto", "https")]);
        client.announce(&mut fields);
        client.announce(&mut fields);
        assert_eq!(fields["x-forwarded-for"], "10.0.0.9, 10.0.0.9");
        assert_eq!(fields["x-forwarded-proto"], "https");
        assert_eq!(fields["x-forwarded-host"], "site");
    }
}
