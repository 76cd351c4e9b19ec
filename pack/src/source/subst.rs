//! `export-subst`: `$Format:…$` in a file becomes what git says of the commit.
//!
//! Only what is the same in every clone is expanded: full ids, times, people, the message. Branches,
//! tags, abbreviated ids and signatures differ from clone to clone, and are refused.

/// What begins a placeholder.
const START: &[u8] = b"$Format:";

/// The files' contents, with every `$Format:…$` replaced by what `expand` makes of its inside.
pub(super) fn expand<E>(
    mut text: &[u8],
    mut expand: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let mut expanded = Vec::with_capacity(text.len());
    while let Some((before, format, after)) = next(text) {
        expanded.extend_from_slice(before);
        expanded.extend(expand(format)?);
        text = after;
    }
    expanded.extend_from_slice(text);
    Ok(expanded)
}

/// The first placeholder, with what is before and after it.
fn next(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let start = text.windows(START.len()).position(|part| part == START)?;
    let (before, rest) = (&text[..start], &text[start + START.len()..]);
    let end = rest.iter().position(|byte| *byte == b'$')?;
    Some((before, &rest[..end], &rest[end + 1..]))
}

/// The first part of a format that is not the same in every clone, or that is not known to be.
pub(super) fn unstable(format: &[u8]) -> Option<String> {
    if format.contains(&0) {
        return Some("NUL".to_owned());
    }
    let mut rest = format;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let code = &rest[at + 1..];
        let Some(length) = stable(code) else { return Some(shown(code)) };
        rest = &code[length..];
    }
    None
}

/// The length of the code after a `%`, if what it stands for depends on the commit alone.
fn stable(code: &[u8]) -> Option<usize> {
    match code {
        // The commit, its tree, its parents; its message; itself; the end of a line.
        [b'H' | b'T' | b'P' | b's' | b'f' | b'b' | b'B' | b'e' | b'%' | b'n', ..] => Some(1),
        // Of its author and committer: name, address, and the time in each of its forms but `2 days ago`.
        [b'a' | b'c', b'n' | b'e' | b'l' | b't' | b'i' | b'I' | b's' | b'd' | b'D', ..] => Some(2),
        [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Some(3),
        _ => None,
    }
}

/// A format in parts, such that the times in strict ISO form are parts of their own.
pub(super) fn parts(format: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < format.len() {
        let code = &format[at..];
        let length = match code {
            [b'%', b'a' | b'c', b'I', ..] => {
                parts.extend([&format[start..at], &code[..3]]);
                start = at + 3;
                3
            }
            [b'%', rest @ ..] => 1 + stable(rest).unwrap_or(0),
            _ => 1,
        };
        at += length;
    }
    parts.push(&format[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// What git made of a part: versions of it differ in how they write UTC.
pub(super) fn uniform(part: &[u8], mut expanded: Vec<u8>) -> Vec<u8> {
    let is_time = matches!(part, [b'%', b'a' | b'c', b'I']);
    if is_time && let Some(time) = expanded.strip_suffix(b"+00:00") {
        expanded = [time, b"Z"].concat();
    }
    expanded
}

/// A code as it is written, for a message.
fn shown(code: &[u8]) -> String {
    let end = match code {
        [b'(', ..] => code.iter().position(|byte| *byte == b')').map_or(code.len(), |at| at + 1),
        [b'a' | b'c' | b'g' | b'G' | b'C' | b'x', ..] => 2,
        _ => 1,
    };
    format!("%{}", String::from_utf8_lossy(&code[..end.min(code.len())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced() {
        let upper = |format: &[u8]| Ok::<_, ()>(format.to_ascii_uppercase());
        for (text, expanded) in [
            ("", ""),
            ("a $Format:b$ c $Format:d\n$e", "a B c D\ne"),
            ("$Format:", "$Format:"),
            ("$Format:a", "$Format:a"),
            ("$$Format:$$", "$$"),
            ("$Id$", "$Id$"),
        ] {
            assert_eq!(expand(text.as_bytes(), upper).unwrap(), expanded.as_bytes(), "{text}");
        }
    }

    #[test]
    fn times_are_the_same_from_all_versions_of_git() {
        let all = |format: &'static str| -> Vec<_> {
            parts(format.as_bytes()).into_iter().map(|it| str::from_utf8(it).unwrap()).collect()
        };
        assert_eq!(all("a %cI%aI %%aI %ai"), ["a ", "%cI", "%aI", " %%aI %ai"]);
        assert_eq!(all(""), [""; 0]);
        assert_eq!(uniform(b"%cI", b"2026-01-02T03:04:05+00:00".to_vec()), b"2026-01-02T03:04:05Z");
        assert_eq!(uniform(b"%aI", b"2026-01-02T03:04:05+02:00".to_vec()).last(), Some(&b'0'));
        assert_eq!(uniform(b"%s", b"+00:00".to_vec()), b"+00:00");
    }

    #[test]
    fn what_is_the_same_in_every_clone() {
        for fine in ["", "%H", "%T %P%n", "%an <%ae>, %cI %ct %cs", "%%h", "100%%", "%x00%s"] {
            assert_eq!(unstable(fine.as_bytes()), None, "{fine}");
        }
        for (format, part) in [
            ("%H %h", "%h"),
            ("%d", "%d"),
            ("%D", "%D"),
            ("%(describe:tags=true) x", "%(describe:tags=true)"),
            ("%(trailers", "%(trailers"),
            ("%ar", "%ar"),
            ("%aN", "%aN"),
            ("%G?", "%G?"),
            ("%N", "%N"),
            ("%x0", "%x0"),
            ("%", "%"),
            ("%\u{e9}", "%\u{fffd}"),
            ("\0", "NUL"),
        ] {
            assert_eq!(unstable(format.as_bytes()).as_deref(), Some(part), "{format}");
        }
    }
}
