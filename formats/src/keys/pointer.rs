//! `<role>.key.toml`: a key that is kept somewhere else.
//!
//! ```toml
//! key = "ssh-agent:SHA256:uH4SjW4yrTkPSXQ7TCFyQ9Pz3Yj6Vh0rm0D3Qe4rX5Y"
//! ```
//! An ed25519 key in the agent behind `SSH_AUTH_SOCK`, by the fingerprint that `ssh-add -l` prints.
//!
//! ```toml
//! key = "exec:/usr/local/bin/sign-with-hsm --slot 3"
//! public = "ssh-ed25519 AAAA…"
//! ```
//! A command that gets the bytes to be signed on stdin and prints the signature: 64 bytes, or those
//! in hexadecimal digits or base64. It is split at white space, and no shell is involved. The public
//! key is 64 hexadecimal digits, an OpenSSH public key or PEM.

use serde::Deserialize;

use crate::exit::{Exit, Explain};
use crate::tuf::key::Key;

/// Where a key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// In the ssh-agent.
    Agent {
        /// As `ssh-add -l` prints it, with `SHA256:`.
        fingerprint: String,
    },
    /// Behind a command.
    Command {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// The public key.
        public: Box<Key>,
    },
}

/// A pointer that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// Not TOML, or with other fields than it may have.
    #[error("not a pointer to a key: {0}")]
    Shape(String),
    /// A place of an unknown kind.
    #[error("`{0}` is neither ssh-agent:SHA256:… nor exec:COMMAND")]
    Key(String),
    /// A command's public key has to be said.
    #[error("a key behind a command needs its public key: public = \"…\"")]
    NoPublic,
    /// Not an ed25519 public key.
    #[error("public is no ed25519 public key (64 hexadecimal digits, ssh-ed25519 …, or PEM)")]
    Public,
}

impl Explain for InvalidPointer {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Pointer {
    /// Reads the file.
    pub fn parse(text: &str) -> Result<Self, InvalidPointer> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            key: String,
            public: Option<String>,
        }
        let file: File =
            toml::from_str(text).map_err(|error| InvalidPointer::Shape(error.to_string()))?;
        let unknown = || InvalidPointer::Key(file.key.clone());
        if let Some(fingerprint) = file.key.strip_prefix("ssh-agent:") {
            if !fingerprint.starts_with("SHA256:") {
                return Err(unknown());
            }
            return Ok(Self::Agent { fingerprint: fingerprint.to_owned() });
        }
        let command = file.key.strip_prefix("exec:").ok_or_else(unknown)?;
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or_else(unknown)?;
        let public = file.public.ok_or(InvalidPointer::NoPublic)?;
        let public = Key::from_text(&public).map(Box::new).ok_or(InvalidPointer::Public)?;
        Ok(Self::Command { program, arguments: words.collect(), public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;

    #[test]
    fn places_and_mistakes() {
        let agent = Pointer::parse("key = 'ssh-agent:SHA256:abc'\n").unwrap();
        assert_eq!(agent, Pointer::Agent { fingerprint: "SHA256:abc".to_owned() });
        let public = Box::new(Signer::from_seed([7; 32]).public().clone());
        let hex = public.public_hex().unwrap();
        let command = Pointer::parse(&format!("key = 'exec:sign  -k 3'\npublic = '{hex}'"));
        let arguments = vec!["-k".to_owned(), "3".to_owned()];
        let program = "sign".to_owned();
        assert_eq!(command.unwrap(), Pointer::Command { program, arguments, public });
        let refused = |text: &str| Pointer::parse(text).unwrap_err();
        assert_eq!(refused("key = 'exec:sign'"), InvalidPointer::NoPublic);
        assert_eq!(refused("key = 'exec:sign'\npublic = 'abc'"), InvalidPointer::Public);
        assert!(matches!(refused("key = 'exec: '\npublic = 'abc'"), InvalidPointer::Key(_)));
        assert!(matches!(refused("key = 'ssh-agent:abc'"), InvalidPointer::Key(_)));
        assert!(matches!(refused("key = 'root.pem'"), InvalidPointer::Key(_)));
        assert!(matches!(refused("keys = 'x'"), InvalidPointer::Shape(_)));
    }
}
