//! What people and programs read in the gate's own answers; for the backoff answer, the operator's
//! own page where there is one.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cutover_node::disk::open_file_careful;
use hyper::StatusCode;
use serde::de::IgnoredAny;

/// Most bytes of an operator's page. It is kept in memory, and sent while there is much to do.
const LARGEST: u64 = 256 * 1024;

/// The page where the operator has none. The braces of its style are nobody's placeholders.
const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content=\"width=device-width\"><title>Back soon</title>\
    <style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:15vh auto;\
    padding:0 1em}</style><h1>Back soon</h1><p>{message}</p>\
    <p>Please try again in about {seconds} seconds.</p>\n";

/// The same for programs.
const JSON_PAGE: &str = "{\"code\":503,\"error\":\"Service Unavailable\",\
    \"message\":\"{message}\",\"retry_after\":{seconds}}\n";

/// The texts of the backoff answer.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    html: Template,
    json: Template,
}

/// A page of the operator's that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The file cannot be read.
    #[error("cannot read the page {}: {why}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// It is larger than 256 KiB.
    #[error("the page {} is larger than 256 KiB", .0.display())]
    TooLarge(PathBuf),
    /// It is not UTF-8.
    #[error("the page {} is not UTF-8", .0.display())]
    NotText(PathBuf),
    /// With something in its placeholders it is not JSON.
    #[error("the page {} is not JSON: {why}", path.display())]
    NotJson {
        /// Which one.
        path: PathBuf,
        /// What the parser says.
        why: serde_json::Error,
    },
}

impl Default for Pages {
    fn default() -> Self {
        Self { html: Template::new(PAGE), json: Template::new(JSON_PAGE) }
    }
}

impl Pages {
    /// Reads the operator's pages; where there is none, the gate has its own.
    pub(crate) fn load(html: Option<&Path>, json: Option<&Path>) -> Result<Self, PageError> {
        let mut pages = Self::default();
        if let Some(path) = html {
            pages.html = Template::new(&read(path)?);
        }
        if let Some(path) = json {
            pages.json = Template::new(&read(path)?);
            let sample = pages.json(1, "a \"message\"\n");
            serde_json::from_str::<IgnoredAny>(&sample)
                .map_err(|why| PageError::NotJson { path: path.to_owned(), why })?;
        }
        Ok(pages)
    }

    pub(super) fn html(&self, seconds: u64, message: &str) -> String {
        self.html.fill(seconds, &escape(message))
    }

    pub(super) fn json(&self, seconds: u64, message: &str) -> String {
        let quoted = serde_json::Value::from(message).to_string();
        self.json.fill(seconds, &quoted[1..quoted.len() - 1])
    }
}

fn read(path: &Path) -> Result<String, PageError> {
    let failed = |why| PageError::Io { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    let file = open_file_careful(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(PageError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| PageError::NotText(path.to_owned()))
}

/// A text with `{seconds}` and `{message}` in it, once read.
#[derive(Clone, Debug)]
struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Seconds,
    Message,
}

impl Template {
    fn new(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        loop {
            let next = [("{seconds}", Piece::Seconds), ("{message}", Piece::Message)]
                .into_iter()
                .filter_map(|(name, piece)| Some((rest.find(name)?, name, piece)))
                .min_by_key(|(at, ..)| *at);
            let Some((at, name, piece)) = next else { break };
            pieces.extend([Piece::Text(rest[..at].to_owned()), piece]);
            rest = &rest[at + name.len()..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Self(pieces)
    }

    /// `message` is escaped already, for what the template is.
    fn fill(&self, seconds: u64, message: &str) -> String {
        let seconds = seconds.to_string();
        let texts = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => &text[..],
            Piece::Seconds => &seconds,
            Piece::Message => message,
        });
        texts.collect()
    }
}

/// A few words for people.
pub(super) fn brief_html(title: &str, text: &str) -> String {
    let (title, text) = (escape(title), escape(text));
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>\
         <h1>{title}</h1><p>{text}</p>\n"
    )
}

/// A few words for programs.
pub(super) fn brief_json(status: StatusCode, text: &str) -> String {
    let value = serde_json::json!({
        "code": status.as_u16(),
        "error": status.canonical_reason(),
        "message": text,
    });
    format!("{value}\n")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_operator_cannot_become_markup() {
        assert_eq!(escape("<b a='1'>&\""), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;");
        let pages = Pages::default();
        let json: serde_json::Value =
            serde_json::from_str(&pages.json(7, "\"}{seconds}\\\n")).unwrap();
        assert_eq!(json["message"], "\"}{seconds}\\\n");
        assert_eq!(json["retry_after"], 7);
    }

    #[test]
    fn placeholders_are_filled_once_and_strangers_stay() {
        let template = Template::new("{a}{seconds}{{message}}{seconds");
        assert_eq!(template.fill(9, "{seconds}"), "{a}9{{seconds}}{seconds");
    }

    #[test]
    fn pages_that_cannot_be_used_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let load = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let html = Pages::load(Some(&path), None).map(|pages| pages.html(5, "<"));
            let json = Pages::load(None, Some(&path)).map(|pages| pages.json(5, "\""));
            let text = |page: Result<String, PageError>| page.unwrap_or_else(|e| e.to_string());
            (text(html), text(json))
        };
        let (html, json) = load(b"{\"a\": \"{message}\", \"b\": {seconds}}");
        assert_eq!(html, "{\"a\": \"&lt;\", \"b\": 5}");
        assert_eq!(json, "{\"a\": \"\\\"\", \"b\": 5}");
        assert!(load(b"{\"a\": {message}}").1.contains("is not JSON"));
        assert!(load(b"\xff").0.ends_with("is not UTF-8"));
        assert!(load(&vec![b'x'; 256 * 1024 + 1]).0.ends_with("larger than 256 KiB"));
        assert!(Pages::load(Some(Path::new("/nowhere")), None).is_err());
    }
}
