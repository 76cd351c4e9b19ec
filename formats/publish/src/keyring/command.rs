//! Keys behind a command: a hardware module, a cloud's key service, whatever signs.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cutover_formats::digest::from_hex;
use cutover_repository::child;

/// More than any form of a signature takes.
const MOST_OUTPUT: u64 = 4096;

/// A command that signs what it reads.
pub(super) struct Command {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

impl Command {
    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64], String> {
        let failed = |error: std::io::Error| format!("`{}`: {error}", self.program);
        let mut child = child::command(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut answer = Vec::new();
        let read = thread::scope(|scope| {
            // One that answers early does not have to read to the end.
            scope.spawn(move || stdin.take().map(|mut stdin| stdin.write_all(message)));
            let mut stdout = stdout.expect("it was asked for").take(MOST_OUTPUT);
            stdout.read_to_end(&mut answer)
        });
        let status = child.wait().map_err(failed)?;
        read.map_err(failed)?;
        if !status.success() {
            return Err(format!("`{}` failed ({status})", self.program));
        }
        signature(&answer).ok_or_else(|| {
            format!("`{}` printed {} bytes that are no signature", self.program, answer.len())
        })
    }
}

/// 64 bytes as they are, in hexadecimal digits, or in base64.
fn signature(answer: &[u8]) -> Option<[u8; 64]> {
    if let Ok(raw) = answer.try_into() {
        return Some(raw);
    }
    let text = std::str::from_utf8(answer).ok()?.trim();
    let bytes = from_hex(text).or_else(|| BASE64_STANDARD.decode(text).ok())?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_in_any_form() {
        let raw = [0xab; 64];
        assert_eq!(signature(&raw), Some(raw));
        assert_eq!(signature(format!("{}\n", "ab".repeat(64)).as_bytes()), Some(raw));
        assert_eq!(signature(format!("{}\n", BASE64_STANDARD.encode(raw)).as_bytes()), Some(raw));
        assert_eq!(signature(b""), None);
        assert_eq!(signature(&[0xab; 65]), None);
    }

    #[test]
    fn a_command_that_fails_or_is_not_there() {
        let of = |program: &str| Command { program: program.to_owned(), arguments: Vec::new() };
        assert!(of("false").sign(b"x").unwrap_err().contains("failed"));
        assert!(of("true").sign(&[0; 1 << 20]).unwrap_err().contains("0 bytes"));
        assert!(of("/nowhere/at/all").sign(b"x").unwrap_err().contains("No such file"));
    }
}
