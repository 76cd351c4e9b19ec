//! What of a file a request is to get: all, a part, or word that it has it already.

use std::ops::Range;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

/// What a request is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// The whole file.
    Whole,
    /// These bytes of it.
    Part(Range<u64>),
    /// It has the file.
    Unchanged,
    /// It asks for bytes that the file does not have.
    Beyond,
}

impl Terms {
    /// Decides by RFC 9110 sections 13.2 and 14.2. `tag` is the file's ETag, if it has one.
    #[must_use]
    pub fn of(headers: &HeaderMap, tag: Option<&str>, size: u64) -> Self {
        if is_known(headers, tag) {
            return Self::Unchanged;
        }
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let strong = tag.filter(|tag| !tag.starts_with("W/"));
        let is_current = text(header::IF_RANGE).is_none_or(|tag| strong == Some(tag));
        match text(header::RANGE).filter(|_| is_current) {
            Some(range) => Self::of_range(range, size),
            None => Self::Whole,
        }
    }

    /// What the field `Range` asks for. One range is understood; several, or another unit, get the whole file.
    #[must_use]
    pub fn of_range(range: &str, size: u64) -> Self {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let bounds = range.trim().strip_prefix("bytes=").and_then(|bounds| bounds.split_once('-'));
        let (start, end) = match bounds {
            Some(("", "")) | None => return Self::Whole,
            Some(("", last)) => match number(last) {
                Some(last) => (size.saturating_sub(last), size),
                None => return Self::Whole,
            },
            Some((first, "")) => match number(first) {
                Some(first) => (first, size),
                None => return Self::Whole,
            },
            Some((first, last)) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => {
                    (first, size.min(last.saturating_add(1)))
                }
                _ => return Self::Whole,
            },
        };
        if start < end { Self::Part(start..end) } else { Self::Beyond }
    }

    /// An answer on these terms about a file of `size` bytes, whose `body` is of the bytes that it is given.
    pub fn answer<B: Default>(self, size: u64, body: impl FnOnce(Range<u64>) -> B) -> Response<B> {
        let (status, range, body) = match self {
            Self::Whole => (StatusCode::OK, None, body(0..size)),
            Self::Unchanged => (StatusCode::NOT_MODIFIED, None, B::default()),
            Self::Beyond => {
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(format!("bytes */{size}")), B::default())
            }
            Self::Part(part) => {
                let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                (StatusCode::PARTIAL_CONTENT, Some(range), body(part))
            }
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        // Digits are a value.
        if let Some(range) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
            answer.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        answer
    }
}

/// Whether whoever asks has the file already that `tag` stands for.
#[must_use]
pub fn is_known(headers: &HeaderMap, tag: Option<&str>) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let tags = values.filter_map(|value| value.to_str().ok()).flat_map(|tags| tags.split(','));
    let strong = |tag: &'_ str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let tag = tag.map(strong);
    tags.map(str::trim).any(|each| each == "*" || Some(strong(each)) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(fields: &[(&'static str, &'static str)]) -> Terms {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Terms::of(&headers, Some("\"abc\""), 100)
    }

    #[test]
    fn parts_are_those_of_one_range() {
        for (range, expected) in [
            ("bytes=0-9", Terms::Part(0..10)),
            ("bytes=90-", Terms::Part(90..100)),
            ("bytes=-10", Terms::Part(90..100)),
            ("bytes=-1000", Terms::Part(0..100)),
            ("bytes=99-1000", Terms::Part(99..100)),
            ("bytes=0-99999999999999999999", Terms::Part(0..100)),
            ("bytes=100-", Terms::Beyond),
            ("bytes=-0", Terms::Beyond),
            ("bytes=9-0", Terms::Whole),
            ("bytes=0-1,3-4", Terms::Whole),
            ("bytes=a-b", Terms::Whole),
            ("bytes=+1-2", Terms::Whole),
            ("lines=0-9", Terms::Whole),
            ("bytes=-", Terms::Whole),
            ("", Terms::Whole),
        ] {
            assert_eq!(terms(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn an_empty_file_has_no_last_bytes() {
        let mut headers = HeaderMap::new();
        headers.insert("range", HeaderValue::from_static("bytes=-5"));
        assert_eq!(Terms::of(&headers, None, 0), Terms::Beyond);
        assert_eq!(Terms::of(&headers, None, 9), Terms::Part(4..9));
        headers.insert("if-range", HeaderValue::from_static("\"abc\""));
        assert_eq!(Terms::of(&headers, None, 9), Terms::Whole);
    }

    #[test]
    fn conditions_come_first() {
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            assert_eq!(
                terms(&[("if-none-match", known), ("range", "bytes=0-9")]),
                Terms::Unchanged
            );
        }
        assert_eq!(terms(&[("if-none-match", "\"x\"")]), Terms::Whole);
        let range = ("range", "bytes=0-9");
        assert_eq!(terms(&[range, ("if-range", "\"abc\"")]), Terms::Part(0..10));
        for other in ["\"x\"", "W/\"abc\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(terms(&[range, ("if-range", other)]), Terms::Whole, "{other}");
        }
    }
}
