//! Keys in the ssh-agent: the private key never comes near us.
//!
//! Two messages of the agent's protocol (draft-ietf-sshm-ssh-agent) over the socket that
//! `SSH_AUTH_SOCK` names: list the keys, sign with one. Each is a length, a type and fields; text
//! and keys are preceded by their lengths.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use cutover_formats::digest::Digest;
use cutover_formats::tuf::key::Key;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// The most that OpenSSH's agent itself sends or takes.
const MOST_ANSWER: u32 = 256 << 10;

/// Long enough to confirm a use (`ssh-add -c`) or to touch a token.
const PATIENCE: Duration = Duration::from_secs(120);

/// A key in the agent.
pub(super) struct Agent {
    blob: Vec<u8>,
    public: Key,
}

impl Agent {
    /// The key with this fingerprint, as `ssh-add -l` prints it.
    pub(super) fn find(fingerprint: &str) -> Result<Self, String> {
        let answer = ask(REQUEST_IDENTITIES, &[], IDENTITIES_ANSWER)?;
        let mut fields = Fields(&answer);
        for _ in 0..fields.number().ok_or_else(garbled)? {
            let blob = fields.bytes().ok_or_else(garbled)?;
            fields.bytes().ok_or_else(garbled)?;
            if fingerprint_of(blob) == fingerprint {
                let public = Key::from_ssh(blob)
                    .ok_or_else(|| format!("{fingerprint} is not an ed25519 key"))?;
                return Ok(Self { blob: blob.to_vec(), public });
            }
        }
        Err(format!("the ssh-agent does not hold {fingerprint} (ssh-add adds it)"))
    }

    pub(super) fn public(&self) -> &Key {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        let mut request = Vec::new();
        for field in [&self.blob, message] {
            request.extend(length(field)?.to_be_bytes());
            request.extend(field);
        }
        request.extend([0; 4]);
        let answer = ask(SIGN_REQUEST, &request, SIGN_RESPONSE)?;
        let signature = Fields(&answer).bytes().ok_or_else(garbled)?;
        let mut signature = Fields(signature);
        match (signature.bytes(), signature.bytes()) {
            (Some(b"ssh-ed25519"), Some(bytes)) => bytes.try_into().map_err(|_| garbled()),
            _ => Err(garbled()),
        }
    }
}

fn fingerprint_of(blob: &[u8]) -> String {
    format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Digest::of(blob).as_bytes()))
}

fn garbled() -> String {
    "the ssh-agent's answer makes no sense".to_owned()
}

fn length(bytes: &[u8]) -> Result<u32, String> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length < MOST_ANSWER - 1024)
        .ok_or_else(|| format!("{} bytes are more than an ssh-agent signs", bytes.len()))
}

/// Asks the agent, and takes an answer of type `expected`.
fn ask(request: u8, fields: &[u8], expected: u8) -> Result<Vec<u8>, String> {
    let socket =
        env::var_os("SSH_AUTH_SOCK").ok_or("no ssh-agent runs: SSH_AUTH_SOCK is not set")?;
    let talk = || -> io::Result<(u8, Vec<u8>)> {
        let mut agent = UnixStream::connect(&socket)?;
        agent.set_read_timeout(Some(PATIENCE))?;
        agent.set_write_timeout(Some(PATIENCE))?;
        let length = u32::try_from(fields.len() + 1).map_err(io::Error::other)?;
        agent.write_all(&[&length.to_be_bytes()[..], &[request], fields].concat())?;
        let mut head = [0; 5];
        agent.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if !(1..=MOST_ANSWER).contains(&length) {
            return Err(io::Error::other(garbled()));
        }
        let mut rest = vec![0; length as usize - 1];
        agent.read_exact(&mut rest)?;
        Ok((head[4], rest))
    };
    match talk() {
        Ok((found, answer)) if found == expected => Ok(answer),
        Ok(_) => Err("the ssh-agent refused".to_owned()),
        Err(error) => Err(format!("ssh-agent at {}: {error}", socket.display())),
    }
}

/// The fields of an answer.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_where_the_answer_ends() {
        let mut fields = Fields(b"\0\0\0\x02ab\0\0\0\x09x");
        assert_eq!(fields.bytes(), Some(&b"ab"[..]));
        assert_eq!(fields.bytes(), None);
        assert_eq!(Fields(b"\0\0").number(), None);
    }
}
