//! Which of the gate's two forms of answer a client would rather have.

use hyper::header::{self, HeaderMap, HeaderValue};

/// What a client said that it accepts, kept until an answer of the gate's own is needed.
#[derive(Clone, Debug)]
pub(crate) struct Accept(Option<HeaderValue>);

impl Accept {
    /// What the request with `headers` would like.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(header::ACCEPT).cloned())
    }

    /// HTML goes to those that like it better than JSON (browsers do); all others get JSON.
    pub(super) fn html(&self) -> bool {
        let value = self.0.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let html = liking(value, "text", "html");
        html.0 > 0 && html > liking(value, "application", "json")
    }
}

/// How much a type is liked, in thousandths, and how closely it was named. The closest range
/// decides (RFC 9110 section 12.5.1).
fn liking(accept: &str, kind: &str, subtype: &str) -> (u16, u8) {
    let closest = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let (a, b) = parts.next()?.split_once('/')?;
        let closeness = match (a, b) {
            ("*", "*") => 0,
            (a, "*") if a.eq_ignore_ascii_case(kind) => 1,
            (a, b) if a.eq_ignore_ascii_case(kind) && b.eq_ignore_ascii_case(subtype) => 2,
            _ => return None,
        };
        Some((closeness, parts.find_map(weight).unwrap_or(1000)))
    });
    closest.max().map_or((0, 0), |(closeness, quality)| (quality, closeness))
}

fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let weight = value.trim().parse().ok().filter(|weight| (0.0..=1.0).contains(weight));
    // A weight that is none is no wish.
    name.trim().eq_ignore_ascii_case("q").then(|| (weight.unwrap_or(0.0_f32) * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_programs_get_json() {
        let html = |value| Accept(Some(HeaderValue::from_static(value))).html();
        assert!(!Accept(None).html());
        for value in [
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Text/HTML, */*;q=0.8",
            "text/*",
            "text/html,*/*",
            "application/json;q=0.5, text/html;level=1;q=0.6",
            "*/*;q=1, application/json;q=0",
        ] {
            assert!(html(value), "{value}");
        }
        for value in [
            "*/*",
            "",
            "application/json",
            "application/json, text/javascript, */*; q=0.01",
            "text/html;q=0.2, application/json;q=0.8",
            "text/html, application/json",
            "text/html;q=0.0, */*;q=0",
            "text/html;q=nonsense",
            "text/html;q=9",
            "*/*, text/html;q=0.1",
            "html",
        ] {
            assert!(!html(value), "{value}");
        }
    }
}
