//! Paths that stay open whatever the gate does.
//!
//! Whoever reaches a closed site by such a path must reach nothing else by it. Applications differ in
//! what they make of `/static/../admin`, `/static//admin` and `/static/%2e%2e/admin`, so a request
//! whose path has any of that is never taken for an open one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One path, or with `/**` at its end everything below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OpenPath {
    /// Without the stars; with them it ends in `/`.
    path: String,
    below: bool,
}

/// Not such a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a path that can stay open: {why}")]
pub struct InvalidOpenPath {
    path: String,
    why: &'static str,
}

impl OpenPath {
    /// Whether a request for `path`, as it stands in the request and without its query, is meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self.below {
            false => path == self.path,
            true => path.starts_with(&self.path) && means_one_thing(path),
        }
    }
}

/// Whether every application takes `path` for the same thing.
fn means_one_thing(path: &str) -> bool {
    let dots = |segment: &str| matches!(segment, "." | ".." | "");
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if dots(segment) && !(last && segment.is_empty()) {
            return false;
        }
    }
    !path.contains(['\\', ';']) && !hides_something(path)
}

/// Whether an escape stands for something that would change the path: `.`, `/`, `;`, `\`, `%`.
fn hides_something(path: &str) -> bool {
    path.split('%').skip(1).any(|escape| {
        let code = escape.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        code.is_none_or(|code| code < b' ' || b"./;\\%".contains(&code))
    })
}

impl FromStr for OpenPath {
    type Err = InvalidOpenPath;

    fn from_str(text: &str) -> Result<Self, InvalidOpenPath> {
        let refuse = |why| Err(InvalidOpenPath { path: text.to_owned(), why });
        let (path, below) = match text.strip_suffix("**") {
            Some(path) if path.ends_with('/') => (path, true),
            _ => (text, false),
        };
        if !path.starts_with('/') {
            return refuse("it must begin with `/`");
        }
        if path.contains('*') {
            return refuse("stars stand only at the end, as `/**`");
        }
        if path == "/" && below {
            return refuse("it would leave everything open");
        }
        if path.contains(['?', '#']) || path.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return refuse("it has a query, a space or a control character");
        }
        if !means_one_thing(path) {
            return refuse("it has empty or dotted parts, or hides something behind a `%`");
        }
        Ok(Self { path: path.to_owned(), below })
    }
}

impl fmt::Display for OpenPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path, if self.below { "**" } else { "" })
    }
}

impl TryFrom<String> for OpenPath {
    type Error = InvalidOpenPath;

    fn try_from(text: String) -> Result<Self, InvalidOpenPath> {
        text.parse()
    }
}

impl From<OpenPath> for String {
    fn from(path: OpenPath) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_stays_open() {
        let status: OpenPath = "/status".parse().unwrap();
        assert!(status.matches("/status"));
        for other in ["/status/", "/statusx", "//status", "/%73tatus", "/x/../status"] {
            assert!(!status.matches(other), "{other}");
        }
        let below: OpenPath = "/static/**".parse().unwrap();
        for inside in ["/static/", "/static/a.css", "/static/a/b%20c.png", "/static/a/"] {
            assert!(below.matches(inside), "{inside}");
        }
        for other in [
            "/static",
            "/statics/a",
            "/static/../admin",
            "/static/./a",
            "/static//admin",
            "/static/%2e%2E/admin",
            "/static/..%2fadmin",
            "/static/..%5cadmin",
            "/static/..\\admin",
            "/static/%252e%252e/admin",
            "/static/..;/admin",
            "/static/a%00",
            "/static/a%",
            "/static/%zz",
            "/static/%é",
        ] {
            assert!(!below.matches(other), "{other}");
        }
    }

    #[test]
    fn what_could_open_more_is_refused() {
        for text in ["status", "", "/**", "/*", "/a/*/b", "/a**", "/a?b", "/a b", "/a/../b", "//"] {
            assert!(text.parse::<OpenPath>().is_err(), "{text}");
        }
        for text in ["/", "/a", "/a/**", "/.well-known/**"] {
            assert_eq!(text.parse::<OpenPath>().unwrap().to_string(), text);
        }
    }
}
