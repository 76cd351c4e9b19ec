//! What of a file a request is to get: all, a part, or word that it has it already.

use std::ops::Range;

use hyper::header::{self, HeaderMap, HeaderValue};

/// What a request is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    /// The whole file.
    Whole,
    /// These bytes of it.
    Part(Range<u64>),
    /// It has the file.
    Unchanged,
    /// It asks for bytes that the file does not have.
    Beyond,
}

/// Decides by RFC 9110 sections 13.2 and 14.2. `tag` is the file's ETag, a strong one.
pub(super) fn decide(headers: &HeaderMap, tag: &HeaderValue, size: u64) -> Terms {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| names(tags, tag));
    if known {
        return Terms::Unchanged;
    }
    let current = headers.get(header::IF_RANGE).is_none_or(|condition| condition == tag);
    match headers.get(header::RANGE).filter(|_| current).and_then(|range| range.to_str().ok()) {
        Some(range) => part(range, size),
        None => Terms::Whole,
    }
}

fn names(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(tag)) = (tags.to_str(), tag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|each| each == "*" || each.trim_start_matches("W/") == tag)
}

/// One range is understood; several, or another unit, get the whole file.
fn part(range: &str, size: u64) -> Terms {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let bounds = range.trim().strip_prefix("bytes=").and_then(|bounds| bounds.split_once('-'));
    let (start, end) = match bounds {
        Some(("", "")) | None => return Terms::Whole,
        Some(("", last)) => match number(last) {
            Some(last) => (size.saturating_sub(last), size),
            None => return Terms::Whole,
        },
        Some((first, "")) => match number(first) {
            Some(first) => (first, size),
            None => return Terms::Whole,
        },
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, size.min(last.saturating_add(1))),
            _ => return Terms::Whole,
        },
    };
    if start < end { Terms::Part(start..end) } else { Terms::Beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(fields: &[(&'static str, &'static str)]) -> Terms {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        decide(&headers, &HeaderValue::from_static("\"abc\""), 100)
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
            ("bytes=-", Terms::Whole),
            ("bytes=a-b", Terms::Whole),
            ("bytes=+1-2", Terms::Whole),
            ("lines=0-9", Terms::Whole),
        ] {
            assert_eq!(terms(&[("range", range)]), expected, "{range}");
        }
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
