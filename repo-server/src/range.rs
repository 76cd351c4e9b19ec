//! The `Range` header: one range of bytes. Anything else is as if there were none.

/// What is sent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Everything.
    Whole,
    /// `length` bytes from `first`.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Number of bytes, at least one.
        length: u64,
    },
    /// The file ends before.
    Beyond,
}

impl Span {
    /// What the header's `text` asks of a file of `size` bytes.
    #[must_use]
    pub fn of(text: &str, size: u64) -> Self {
        let spec = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-'));
        let Some((first, last)) = spec else { return Self::Whole };
        match (number(first.trim()), number(last.trim())) {
            (Some(Some(first)), Some(last)) if last.is_none_or(|last| first <= last) => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                match end.checked_sub(first) {
                    None | Some(0) => Self::Beyond,
                    Some(length) => Self::Part { first, length },
                }
            }
            (Some(None), Some(Some(0))) => Self::Beyond,
            (Some(None), Some(Some(_))) if size == 0 => Self::Beyond,
            (Some(None), Some(Some(count))) => {
                let length = count.min(size);
                Self::Part { first: size - length, length }
            }
            _ => Self::Whole,
        }
    }
}

/// A number, nothing (`Some(None)`), or something else (`None`).
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, expected) in [
            ("bytes=0-0", Span::Part { first: 0, length: 1 }),
            ("bytes=2-5", Span::Part { first: 2, length: 4 }),
            ("bytes=2-", Span::Part { first: 2, length: 8 }),
            ("bytes=2-99", Span::Part { first: 2, length: 8 }),
            ("bytes=2-18446744073709551615", Span::Part { first: 2, length: 8 }),
            ("bytes=-3", Span::Part { first: 7, length: 3 }),
            ("bytes=-30", Span::Part { first: 0, length: 10 }),
            ("bytes=10-", Span::Beyond),
            ("bytes=99-100", Span::Beyond),
            ("bytes=-0", Span::Beyond),
            ("bytes=5-2", Span::Whole),
            ("bytes=-", Span::Whole),
            ("bytes=0-1,3-4", Span::Whole),
            ("bytes=+1-2", Span::Whole),
            ("lines=1-2", Span::Whole),
            ("bytes=99999999999999999999999-", Span::Whole),
            ("", Span::Whole),
        ] {
            assert_eq!(Span::of(text, 10), expected, "{text}");
        }
        assert_eq!(Span::of("bytes=-5", 0), Span::Beyond);
    }
}
