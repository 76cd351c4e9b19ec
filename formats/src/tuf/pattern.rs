//! Which target paths a role is trusted with.

use crate::digest::Digest;

/// A path pattern of a delegation: `*` stands for any characters and `?` for one, neither for a
/// `/`; a path has exactly as many components as the pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Pattern {
    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path` is one of those meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let (patterns, parts) = (self.0.split('/'), path.split('/'));
        patterns.clone().count() == parts.clone().count()
            && patterns.zip(parts).all(|(pattern, part)| component_matches(pattern, part))
    }

    /// Whether some path below the top folder `folder` could be meant.
    #[must_use]
    pub fn may_lie_in(&self, folder: &str) -> bool {
        self.0.split_once('/').is_some_and(|(first, _)| component_matches(first, folder))
    }
}

/// Linear but for the last `*`: on a mismatch that one takes a character more.
fn component_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                None => return false,
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What hash prefixes are compared with: the SHA-256 of a target path, in hexadecimal digits.
#[must_use]
pub fn hash(path: &str) -> String {
    Digest::of(path.as_bytes()).to_string()
}

/// The target paths of a delegated role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Those that one of the patterns means.
    Patterns(Vec<Pattern>),
    /// Those whose SHA-256, in hexadecimal digits, begins with one of these.
    HashPrefixes(Vec<String>),
}

impl Paths {
    /// Whether the role is trusted with `path`, whose hash is `digest` ([`hash`]).
    #[must_use]
    pub fn allow(&self, path: &str, digest: &str) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(path)),
            Self::HashPrefixes(prefixes) => {
                prefixes.iter().any(|prefix| digest.starts_with(prefix.as_str()))
            }
        }
    }

    /// Whether the role could be trusted with some path below the top folder `folder`.
    #[must_use]
    pub fn may_lie_in(&self, folder: &str) -> bool {
        match self {
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.may_lie_in(folder)),
            Self::HashPrefixes(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::from(pattern.to_owned()).matches(path)
    }

    #[test]
    fn the_specification_s_examples() {
        assert!(matches("targets/*.tgz", "targets/foo.tgz"));
        assert!(!matches("targets/*.tgz", "targets/foo.txt"));
        assert!(matches("foo-version-?.tgz", "foo-version-2.tgz"));
        assert!(!matches("foo-version-?.tgz", "foo-version-alpha.tgz"));
        assert!(matches("*.tgz", "foo.tgz"));
        assert!(!matches("*.tgz", "targets/foo.tgz"));
    }

    #[test]
    fn stars_stay_within_a_component() {
        assert!(matches("releases/*/*/*", "releases/weave/1.0.0/release.json"));
        assert!(!matches("releases/*/*/*", "releases/weave/1.0.0/x/release.json"));
        assert!(!matches("releases/*/*/*", "releases/weave/release.json"));
        assert!(matches("channels/b.*/*", "channels/b.x/weave.json"));
        assert!(!matches("channels/b.*/*", "channels/bx/weave.json"));
        assert!(matches("*a*b*", "xxaxxbabx"));
        assert!(!matches("*a*b", "xxaxxba"));
        assert!(matches("?", "ü"));
        assert!(matches("", ""));
        assert!(!matches("?", ""));
    }

    #[test]
    fn prefixes_are_of_the_path_s_digest() {
        // sha256("abc") = ba7816bf…
        assert!(Paths::HashPrefixes(vec!["ba".into()]).allow("abc", &hash("abc")));
        assert!(!Paths::HashPrefixes(vec!["bb".into()]).allow("abc", &hash("abc")));
    }

    proptest! {
        #[test]
        fn a_literal_matches_itself_only(a in "[a-c/]{0,8}", b in "[a-c/]{0,8}") {
            prop_assert_eq!(matches(&a, &b), a == b);
        }

        #[test]
        fn many_stars_end(pattern in "[a*]{0,60}", text in "a{0,200}") {
            matches(&pattern, &text);
        }
    }
}
