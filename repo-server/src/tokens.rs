//! Who may publish.
//!
//! ```text
//! # name   token, or its digest
//! ci       sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! alice    a-long-random-text
//! ```

use std::path::Path;
use std::sync::Arc;

use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_repository::private;
use cutover_terminal::Failure;
use tokio::sync::Semaphore;

/// The tokens that the server accepts; only their digests are kept.
pub(crate) struct Tokens(Vec<Known>);

struct Known {
    owner: Owner,
    digest: Digest,
}

/// Who has a token.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) name: String,
    /// How many uploads may be under way with the token.
    pub(crate) places: Arc<Semaphore>,
}

impl Tokens {
    /// Reads the file at `path`; refuses it where others can change it, and warns where they can read
    /// it. With each token there may be `places` uploads at once.
    pub(crate) fn read(path: &Path, places: u32) -> Result<Self, Failure> {
        let failed = |exit, why: &dyn std::fmt::Display| {
            Failure::new(exit, format!("tokens file {}: {why}", path.display()))
        };
        let file = private::read(path).map_err(|error| {
            let failure = Failure::new(error.exit(), format!("tokens file: {error}"));
            error.hints().into_iter().fold(failure, Failure::hint)
        })?;
        let (text, mode) = (file.text, file.mode);
        let tokens = Self::parse(&text, places).map_err(|why| failed(Exit::Usage, &why))?;
        if tokens.0.is_empty() {
            tracing::warn!("{} has no token: nobody can publish", path.display());
        }
        if mode & 0o007 != 0 && text.lines().any(is_plain) {
            let path = path.display();
            tracing::warn!(
                "{path} can be read by others: chmod o= {path}, or write sha256: digests"
            );
        }
        Ok(tokens)
    }

    fn parse(text: &str, places: u32) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, fields(line)));
        let known = lines.filter_map(|(at, fields)| {
            let token = *fields.last()?;
            let digest = match token.strip_prefix("sha256:") {
                Some(digits) => digits
                    .to_ascii_lowercase()
                    .parse()
                    .map_err(|_| format!("line {at}: after `sha256:` come 64 hexadecimal digits")),
                None => Ok(Digest::of(token.as_bytes())),
            };
            let name = fields[..fields.len() - 1].join(" ");
            let name = if name.is_empty() { format!("line {at}") } else { name };
            let places = Arc::new(Semaphore::new(places as usize));
            Some(digest.map(|digest| Known { owner: Owner { name, places }, digest }))
        });
        known.collect::<Result<_, _>>().map(Self)
    }

    /// Whose token this is. Takes as long for every token: digests are compared whole, and all of
    /// them.
    pub(crate) fn owner(&self, token: &str) -> Option<&Owner> {
        let given = Digest::of(token.as_bytes());
        self.0.iter().fold(None, |found, known| {
            let pairs = known.digest.as_bytes().iter().zip(given.as_bytes());
            let difference = pairs.fold(0, |all, (a, b)| all | (a ^ b));
            if difference == 0 { Some(&known.owner) } else { found }
        })
    }
}

fn fields(line: &str) -> Vec<&str> {
    match line.trim_start().starts_with('#') {
        true => Vec::new(),
        false => line.split_whitespace().collect(),
    }
}

fn is_plain(line: &str) -> bool {
    fields(line).last().is_some_and(|token| !token.starts_with("sha256:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let digest = Digest::of(b"secret");
        let text = format!("# comment\n\n  ci sha256:{digest}\nalice smith plain#1\nalone\n");
        let tokens = Tokens::parse(&text, 1).unwrap();
        let owner = |token: &str| tokens.owner(token).map(|owner| owner.name.as_str());
        assert_eq!(owner("secret"), Some("ci"));
        assert_eq!(owner("plain#1"), Some("alice smith"));
        assert_eq!(owner("alone"), Some("line 5"));
        for wrong in ["", "secre", "ci", "#", &format!("sha256:{digest}"), &digest.to_string()] {
            assert_eq!(owner(wrong), None, "{wrong}");
        }
        let error = Tokens::parse("ok\nbob sha256:abc", 1).err().unwrap();
        assert!(error.contains("line 2"), "{error}");
        assert!(!error.contains("abc"), "{error}");
    }
}
