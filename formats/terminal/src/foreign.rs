//! Text of others: what a service prints, names in a repository, words of a server. A terminal takes some
//! characters for commands (to colour, to clear, to answer as if somebody had typed), and others turn the
//! order of a line around so that it reads as something else. They are shown as escapes, `\u{1b}`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The same text with every character that would do something shown as an escape; ends of lines and
/// tabs are left.
#[must_use]
pub(crate) fn tame(text: &str) -> Cow<'_, str> {
    replaced(text, |text, c| write!(text, "{}", c.escape_unicode()).is_ok())
}

/// The same of bytes that should be text; those that are none are shown as `\xff`.
#[must_use]
pub(crate) fn tame_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&tame(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The same of JSON, which means the same afterwards: its own escapes are taken.
pub(crate) fn tame_json(json: &str) -> Cow<'_, str> {
    replaced(json, |text, c| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().all(|unit| write!(text, "\\u{unit:04x}").is_ok())
    })
}

fn replaced(text: &str, escape: impl Fn(&mut String, char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            escape(&mut tamed, c);
        } else {
            tamed.push(c);
        }
    }
    Cow::Owned(tamed)
}

/// Whether a terminal does something at it, or turns the order of a line around.
fn acts(c: char) -> bool {
    const BIDIRECTIONAL: [std::ops::RangeInclusive<char>; 4] = [
        '\u{61c}'..='\u{61c}',
        '\u{200e}'..='\u{200f}',
        '\u{202a}'..='\u{202e}',
        '\u{2066}'..='\u{2069}',
    ];
    (c.is_control() && c != '\n' && c != '\t')
        || BIDIRECTIONAL.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_is_left() {
        assert_eq!(tame("a\tb\nc é 漢"), "a\tb\nc é 漢");
        assert_eq!(tame("\u{1b}[2Jx"), "\\u{1b}[2Jx");
        assert_eq!(tame("a\rb\u{7}\u{9b}\u{7f}"), "a\\u{d}b\\u{7}\\u{9b}\\u{7f}");
        assert_eq!(tame("user\u{202e}txt.exe\u{2066}"), "user\\u{202e}txt.exe\\u{2066}");
        assert_eq!(tame_bytes(b"ok\xff\x1b]0;x\x07\n"), "ok\\xff\\u{1b}]0;x\\u{7}\n");
    }

    #[test]
    fn json_means_what_it_meant() {
        for said in ["\u{1b}[1m", "\u{9b}2J\u{7f}", "\u{202e}abc", "plain"] {
            let json = serde_json::to_string(said).expect("it is text");
            let tamed = tame_json(&json);
            assert!(!tamed.chars().any(acts), "{tamed}");
            assert_eq!(serde_json::from_str::<String>(&tamed).expect("it is JSON"), said);
        }
    }
}
