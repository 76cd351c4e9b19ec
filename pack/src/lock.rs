//! The lock of Python dependencies: a requirements file in which everything is pinned and hashed.
//!
//! Of what pip reads there, a lock has only `name==version` with hashes, markers and extras, and
//! comments. What would take the choice out of the lock again is refused: other files, addresses,
//! folders, and index settings, which would also be published with the release. Lines are joined,
//! split and rid of comments as pip does it, so that pip reads no line that is not judged here.

use std::collections::BTreeSet;
use std::fmt;

use cutover_formats::digest::Digest;

/// Most bytes a lock may have.
pub const LARGEST: u64 = 16 << 20;

/// The pinned requirements of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// In the order of the file; a name may be there more than once, under different markers.
    pub requirements: Vec<Requirement>,
}

/// One pinned distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its name, normalised.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is needed; everywhere without one.
    pub marker: Option<String>,
    /// The digests that its distributions may have.
    pub hashes: BTreeSet<Digest>,
}

/// A line of a lock, without extras: for downloading this one distribution only.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=={}", self.name, self.version)?;
        if let Some(marker) = &self.marker {
            write!(f, " ; {marker}")?;
        }
        self.hashes.iter().try_for_each(|hash| write!(f, " --hash=sha256:{hash}"))?;
        writeln!(f)
    }
}

/// A lock that does not lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLock {
    /// It is no text.
    #[error("is not UTF-8 text")]
    NotText,
    /// It has nothing in it.
    #[error("locks nothing")]
    Empty,
    /// A requirement without an exact version.
    #[error("line {line}: `{requirement}` is not pinned to a version with ==")]
    NotPinned {
        /// Where.
        line: usize,
        /// As it is written.
        requirement: String,
    },
    /// A requirement without a digest.
    #[error("line {line}: `{requirement}` has no --hash=sha256:…")]
    NoHash {
        /// Where.
        line: usize,
        /// Name and version.
        requirement: String,
    },
    /// A digest that is none.
    #[error("line {line}: `{requirement}` has a malformed hash")]
    Hash {
        /// Where.
        line: usize,
        /// Name and version.
        requirement: String,
    },
    /// A marker that pip would read as another, or as a comment.
    #[error("line {line}: `{requirement}` has a malformed marker")]
    Marker {
        /// Where.
        line: usize,
        /// Name and version.
        requirement: String,
    },
    /// Pip looks for options after spaces only.
    #[error("line {line}: pip takes no option after a tab; put a space before `{option}`")]
    Tab {
        /// Where.
        line: usize,
        /// Its name.
        option: String,
    },
    /// An option that does not belong in a lock.
    #[error("line {line}: `{option}` does not belong in a lock")]
    Option {
        /// Where.
        line: usize,
        /// Its name only: its value may be an address with a password.
        option: String,
    },
}

/// Options that only say what holds anyway.
const HARMLESS: [&str; 4] = ["--require-hashes", "--prefer-binary", "--only-binary", "--no-binary"];

impl Lock {
    /// Reads a lock.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidLock> {
        let text = str::from_utf8(bytes).map_err(|_| InvalidLock::NotText)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.split('\n').take(2).any(is_of_another_encoding) {
            return Err(InvalidLock::NotText);
        }
        let mut requirements = Vec::new();
        for (line, logical) in logical_lines(text) {
            requirements.extend(parse_line(line, &logical)?);
        }
        if requirements.is_empty() { Err(InvalidLock::Empty) } else { Ok(Self { requirements }) }
    }

    /// The requirement that a distribution with this digest satisfies.
    pub fn by_digest(&self, digest: Digest) -> Option<&Requirement> {
        self.requirements.iter().find(|requirement| requirement.hashes.contains(&digest))
    }
}

/// The name as package indexes compare it: lower case, one `-` for each run of `-`, `_`, `.`.
pub fn normalise(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// Whether pip would take what follows this comment for another encoding than UTF-8.
fn is_of_another_encoding(line: &str) -> bool {
    let named = line.starts_with('#').then(|| line.split("coding").skip(1)).into_iter().flatten();
    let mut names = named.filter_map(|rest| {
        let name = rest.strip_prefix([':', '='])?.trim_start();
        let end = name.find(|c: char| !c.is_alphanumeric() && !"-_.".contains(c));
        Some(&name[..end.unwrap_or(name.len())])
    });
    let same = ["utf-8", "utf8", "ascii", "us-ascii"];
    names.any(|name| !name.is_empty() && !same.contains(&name.to_ascii_lowercase().as_str()))
}

/// Lines with their continuations joined and comments gone, numbered by where they begin. A line that
/// is a comment ends what goes before.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut current: Option<(usize, String)> = None;
    for (index, line) in lines_of(text).into_iter().enumerate() {
        let comment = line.trim_start_matches(is_space).starts_with('#');
        let goes_on = line.ends_with('\\') && !comment;
        let line = if goes_on { line.trim_matches('\\') } else { line };
        let (_, joined) = current.get_or_insert_with(|| (index + 1, String::new()));
        if comment {
            joined.push(' ');
        }
        joined.push_str(line);
        if !goes_on {
            lines.extend(current.take());
        }
    }
    lines.extend(current);
    for (_, line) in &mut lines {
        *line = without_comment(line).trim_matches(is_space).to_owned();
    }
    lines.retain(|(_, line)| !line.is_empty());
    lines
}

/// The lines of a text as Python splits it.
fn lines_of(text: &str) -> Vec<&str> {
    let ends = |c: char| {
        matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e')
            || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ends) {
        lines.push(&rest[..end]);
        let after = &rest[end..];
        let length = if after.starts_with("\r\n") {
            2
        } else {
            after.chars().next().map_or(0, char::len_utf8)
        };
        rest = &after[length..];
    }
    lines.push(rest);
    lines
}

/// What Python takes for white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

fn without_comment(line: &str) -> &str {
    line.match_indices('#')
        .find(|(at, _)| *at == 0 || line[..*at].ends_with(is_space))
        .map_or(line, |(at, _)| &line[..at])
}

fn parse_line(line: usize, text: &str) -> Result<Option<Requirement>, InvalidLock> {
    if text.starts_with('-') {
        return options_only(line, text).map(|()| None);
    }
    let option = text.match_indices(" -").map(|(at, _)| at).next();
    let (wanted, options) = option.map_or((text, ""), |at| text.split_at(at));
    if let Some((_, option)) = wanted.split_once("\t-") {
        let option = format!("-{}", name_of(option));
        return Err(InvalidLock::Tab { line, option });
    }
    let (pin, marker) = match wanted.split_once(';') {
        Some((pin, marker)) => (pin.trim(), Some(marker.trim().to_owned())),
        None => (wanted.trim(), None),
    };
    let (name, version) = pinned(pin)
        .ok_or_else(|| InvalidLock::NotPinned { line, requirement: without_address(pin) })?;
    if marker.as_deref().is_some_and(|marker| !is_marker(marker)) {
        return Err(InvalidLock::Marker { line, requirement: pin.to_owned() });
    }
    let hashes = hashes(line, pin, options)?;
    if hashes.is_empty() {
        return Err(InvalidLock::NoHash { line, requirement: pin.to_owned() });
    }
    Ok(Some(Requirement { name: normalise(name), version: version.to_owned(), marker, hashes }))
}

/// A line of options for all requirements: one that means something must not hide behind another.
fn options_only(line: usize, text: &str) -> Result<(), InvalidLock> {
    let refuse = |option: &str| {
        let option = name_of(option).to_owned();
        Err(InvalidLock::Option { line, option })
    };
    // Pip reads quotes and backslashes as a shell does.
    if text.contains(['"', '\'', '\\']) {
        return refuse(text);
    }
    let mut options = text.split_whitespace().filter(|word| word.starts_with('-'));
    match options.find(|option| !HARMLESS.contains(&name_of(option))) {
        Some(option) => refuse(option),
        None => Ok(()),
    }
}

/// The name of an option: its value may be an address with a password.
fn name_of(option: &str) -> &str {
    option.split(['=', ' ', '\t']).next().unwrap_or(option)
}

/// Whether it may be a marker, so that it says the same in whatever line it is written.
fn is_marker(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        // Pip puts variables of its environment in.
        && !text.contains("${")
        && !text.contains(|c: char| matches!(c, '#' | '\\') || (c.is_control() && c != '\t'))
}

/// The name and version of `name[extra]==version`.
fn pinned(pin: &str) -> Option<(&str, &str)> {
    let (name, version) = pin.split_once("==")?;
    let version = version.strip_prefix('=').unwrap_or(version).trim();
    let name = name.split_once('[').map_or(name, |(name, _)| name).trim();
    let in_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let in_version = |c: char| c.is_ascii_alphanumeric() || "-_.+!".contains(c);
    let named = !normalise(name).is_empty() && name.chars().all(in_name);
    let exact = !version.is_empty() && version.chars().all(in_version);
    (named && exact).then_some((name, version))
}

/// What is shown of a requirement that names an address.
fn without_address(pin: &str) -> String {
    match pin.split_once("://") {
        Some((before, _)) => format!("{before}://…"),
        None => pin.to_owned(),
    }
}

fn hashes(line: usize, pin: &str, options: &str) -> Result<BTreeSet<Digest>, InvalidLock> {
    let mut hashes = BTreeSet::new();
    let malformed = || InvalidLock::Hash { line, requirement: pin.to_owned() };
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--hash") {
            Some("") => words.next().ok_or_else(malformed)?,
            Some(value) => value.strip_prefix('=').ok_or_else(malformed)?,
            None => {
                let option = name_of(word).to_owned();
                return Err(InvalidLock::Option { line, option });
            }
        };
        match value.split_once(':') {
            Some(("sha256", digest)) => hashes.insert(digest.parse().map_err(|_| malformed())?),
            // Stronger ones may stand beside it.
            Some(("sha384" | "sha512", _)) => false,
            _ => return Err(malformed()),
        };
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const B: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn refused(text: &str) -> String {
        Lock::parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn what_resolvers_write() {
        let text = format!(
            "# compiled by a tool\n\n\
             Zope.Interface==8.7 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n    # via kinto\n\
             uvicorn[standard]==1.0 ; python_version < \"3.12\" \\\n  --hash sha256:{A}   # here\n\
             --require-hashes\n\
             local==1!2.0+abc --hash=sha512:00 --hash=sha256:{B}"
        );
        let lock = Lock::parse(text.as_bytes()).unwrap();
        let [zope, uvicorn, local] = &lock.requirements[..] else { panic!("{lock:?}") };
        assert_eq!((zope.name.as_str(), zope.version.as_str()), ("zope-interface", "8.7"));
        assert_eq!(zope.hashes.len(), 2);
        assert_eq!(uvicorn.name, "uvicorn");
        assert_eq!(uvicorn.marker.as_deref(), Some("python_version < \"3.12\""));
        assert_eq!(local.version, "1!2.0+abc");
        assert_eq!(lock.by_digest(A.parse().unwrap()).unwrap().name, "zope-interface");
        let written: String = lock.requirements.iter().map(ToString::to_string).collect();
        assert_eq!(Lock::parse(written.as_bytes()).unwrap(), lock);
    }

    #[test]
    fn what_does_not_lock() {
        for (text, message) in [
            ("", "locks nothing"),
            ("# nothing\n", "locks nothing"),
            ("\na", "line 2: `a` is not pinned to a version with =="),
            ("a>=1", "line 1: `a>=1` is not pinned"),
            ("a==1.*", "line 1: `a==1.*` is not pinned"),
            ("a==1,<2", "line 1: `a==1,<2` is not pinned"),
            ("a @ https://user:hunter2@example.org/a.whl", "`a @ https://…` is not pinned"),
            ("./folder", "line 1: `./folder` is not pinned"),
            ("a==1", "line 1: `a==1` has no --hash=sha256:…"),
            ("a==1 --hash=sha512:00", "line 1: `a==1` has no --hash=sha256:…"),
            ("\n\na==1 --hash=sha256:12", "line 3: `a==1` has a malformed hash"),
            ("a==1 --hash=md5:12", "line 1: `a==1` has a malformed hash"),
            ("a==1 --hash", "line 1: `a==1` has a malformed hash"),
            ("a==1 ;## os_name == 'nt'", "line 1: `a==1` has a malformed marker"),
            ("a==1 ;", "line 1: `a==1` has a malformed marker"),
            ("a==1;--pre", "line 1: `a==1` has a malformed marker"),
            ("a==1 ; os_name\0 == 'nt'", "line 1: `a==1` has a malformed marker"),
            ("-r other.txt", "line 1: `-r` does not belong in a lock"),
            ("--index-url=https://u:hunter2@x/", "line 1: `--index-url` does not belong in a lock"),
            ("-e .", "line 1: `-e` does not belong in a lock"),
            ("--require-hashes -r other.txt", "line 1: `-r` does not belong in a lock"),
            ("--prefer-binary --index-url=https://u:hunter2@x/", "line 1: `--index-url` does not"),
            ("--only-binary \"--index-url\" x", "line 1: `--only-binary` does not belong"),
            ("a==1 -C x", "line 1: `-C` does not belong in a lock"),
            ("a==1\t--hash=sha256:00", "line 1: pip takes no option after a tab; put a space"),
            ("a==1 \\\n\t--hash=sha256:00", "line 1: pip takes no option after a tab"),
            ("a==1 \\\n  # why\n  --hash=sha256:00", "line 1: `a==1` has no --hash=sha256:…"),
            ("# x\u{2028}b==1", "line 2: `b==1` has no --hash=sha256:…"),
            ("# x\x0bb==1", "line 2: `b==1` has no --hash=sha256:…"),
            ("a==1 ; os_name == '${X}'", "line 1: `a==1` has a malformed marker"),
            ("# -*- coding: utf-7 -*-\na==1", "is not UTF-8 text"),
            ("# coding=utf-8\na==1", "line 2: `a==1` has no --hash=sha256:…"),
            ("a==1 --config-settings=x", "line 1: `--config-settings` does not belong in a lock"),
        ] {
            let refused = refused(text);
            assert!(refused.contains(message), "{text}\n{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn names() {
        for name in ["Zope.Interface", "zope-interface", "zope__interface", "ZOPE-._Interface"] {
            assert_eq!(normalise(name), "zope-interface");
        }
    }

    fn requirement() -> impl Strategy<Value = (String, String, Vec<[u8; 32]>)> {
        let hashes = proptest::collection::vec(any::<[u8; 32]>(), 1..4);
        ("[a-z][a-z0-9]{0,8}", "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}", hashes)
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(
            wanted in proptest::collection::vec(requirement(), 1..8),
            comments in any::<bool>(),
            folded in any::<bool>(),
        ) {
            let mut text = String::new();
            for (name, version, hashes) in &wanted {
                if comments {
                    text.push_str("# a comment\n");
                }
                text.push_str(&format!("{name}=={version}"));
                for hash in hashes {
                    text.push_str(if folded { " \\\n    " } else { " " });
                    text.push_str(&format!("--hash=sha256:{}", Digest::from(*hash)));
                }
                text.push_str(if comments { "  # via x\n" } else { "\n" });
            }
            let lock = Lock::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(lock.requirements.len(), wanted.len());
            for (found, (name, version, hashes)) in lock.requirements.iter().zip(&wanted) {
                prop_assert_eq!(&found.name, name);
                prop_assert_eq!(&found.version, version);
                let hashes: BTreeSet<Digest> = hashes.iter().map(|it| Digest::from(*it)).collect();
                prop_assert_eq!(&found.hashes, &hashes);
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes in "([a-z=\\[\\];# \\\\\n-]|--hash|==|sha256:|://){0,40}") {
            let _ = Lock::parse(bytes.as_bytes());
        }
    }
}
