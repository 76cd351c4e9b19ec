//! Secrets: read from where the node says they are, and told to nobody.
//!
//! What a command prints on stderr is thrown away, because it may repeat what it was to keep; that
//! it failed, and how, is all that is said.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cutover_formats::node_toml::SecretSource;
use cutover_formats::period::Period;
use cutover_formats::secret::Secret;
use cutover_repository::child;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::disk::open_careful;
use crate::root::Root;

/// Most bytes of a secret.
const LARGEST: u64 = 64 << 10;

/// How often a command is asked whether it has ended.
const TICK: Duration = Duration::from_millis(5);

/// A secret that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A program cannot be started.
    #[error("cannot run `{program}`: {why}")]
    Start {
        /// Which one; its arguments are not repeated.
        program: String,
        /// What the system says.
        why: String,
    },
    /// A program failed.
    #[error("`{program}` failed ({status}); run it by hand to see why")]
    Failed {
        /// Which one.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program went on for too long, and was killed.
    #[error("`{program}` did not end within {limit}")]
    Slow {
        /// Which one.
        program: String,
        /// The limit.
        limit: Period,
    },
    /// Empty, too long, or no text.
    #[error("{0} holds no text of 1 to {LARGEST} bytes")]
    Shape(String),
}

/// The secret, without the end of line that ends it.
pub fn read(root: &Root, source: &SecretSource) -> Result<Secret, SecretError> {
    match source {
        SecretSource::File(file) => {
            let path = root.shared().join(file);
            let bytes = read_file(&path).map_err(|error| SecretError::File {
                path: path.clone(),
                why: error.to_string(),
            })?;
            text(bytes, path.display().to_string())
        }
        SecretSource::Command { command, timeout } => {
            let program = command.first().cloned().unwrap_or_default();
            let bytes = run(&program, command, *timeout)?;
            text(bytes, format!("the output of `{program}`"))
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for.
    let file = open_careful(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(mut bytes: Vec<u8>, whence: String) -> Result<Secret, SecretError> {
    let end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| bytes.ends_with(end));
    bytes.truncate(bytes.len() - end.map_or(0, <[u8]>::len));
    let fits = !bytes.is_empty() && bytes.len() as u64 <= LARGEST && !bytes.contains(&0);
    // The error would hold the bytes.
    let text = String::from_utf8(bytes).ok().filter(|_| fits);
    text.map(Secret::new).ok_or(SecretError::Shape(whence))
}

/// What the command prints. It leads a process group of its own, so that whatever it started ends with it.
fn run(program: &str, command: &[String], timeout: Period) -> Result<Vec<u8>, SecretError> {
    let cannot = |error: io::Error| SecretError::Start {
        program: program.to_owned(),
        why: error.to_string(),
    };
    let mut child = child::command(program)
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(cannot)?;
    let deadline = Instant::now() + timeout.as_duration();
    let output = output(&mut child, deadline);
    let status = match &output {
        Some(output) if output.len() as u64 > LARGEST + 1 => {
            kill(&mut child);
            return Err(SecretError::Shape(format!("the output of `{program}`")));
        }
        Some(_) => end(&mut child, deadline),
        None => None,
    };
    match (output, status) {
        (Some(output), Some(status)) if status.success() => Ok(output),
        (Some(_), Some(status)) => Err(SecretError::Failed { program: program.to_owned(), status }),
        _ => {
            kill(&mut child);
            Err(SecretError::Slow { program: program.to_owned(), limit: timeout })
        }
    }
}

/// All that it prints, if it comes to an end of that in time.
fn output(child: &mut Child, deadline: Instant) -> Option<Vec<u8>> {
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // One that prints without end is cut off: its pipe closes.
        let read = stdout.take(LARGEST + 2).read_to_end(&mut bytes);
        // Nobody listens any more where it took too long.
        let _ = sender.send(read.map(|_| bytes).unwrap_or_default());
    });
    receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

fn end(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(TICK),
            Ok(None) | Err(_) => return None,
        }
    }
}

fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may be gone already.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(script: &str, limit: &str) -> Result<String, SecretError> {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let source = SecretSource::Command { command, timeout: limit.parse().unwrap() };
        read(&Root::new("/nowhere".into()), &source).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn what_a_command_prints() {
        assert_eq!(command("echo hunter2", "20s").as_deref(), Ok("hunter2"));
        assert_eq!(command("printf 'a\\n\\n'", "20s").as_deref(), Ok("a\n"));
        for (script, word) in [
            ("echo hunter2; exit 3", "`sh` failed (exit status: 3)"),
            ("true", "holds no text"),
            ("printf '\\377'", "holds no text"),
            ("yes hunter2", "holds no text"),
        ] {
            let error = command(script, "20s").unwrap_err().to_string();
            assert!(error.contains(word), "{script}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let source = SecretSource::Command {
            command: vec!["/nowhere/at/all".to_owned()],
            timeout: Period::seconds(20),
        };
        let error = read(&Root::new("/nowhere".into()), &source).unwrap_err().to_string();
        assert!(error.contains("cannot run `/nowhere/at/all`"), "{error}");
    }

    /// Neither a command that hangs nor a child of it that holds the pipe is waited for.
    #[test]
    fn one_that_does_not_end() {
        for script in ["sleep 100", "sleep 100 & exit 0", "exec >&-; sleep 100"] {
            let began = Instant::now();
            let error = command(script, "300ms").unwrap_err().to_string();
            assert!(error.contains("did not end within 300ms"), "{script}: {error}");
            assert!(began.elapsed() < Duration::from_secs(50), "{script}");
        }
    }

    #[test]
    fn what_a_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        std::fs::create_dir(root.shared()).unwrap();
        let read = |name: &str| read(&root, &SecretSource::File(name.into()));
        std::fs::write(root.shared().join("password"), "hunter2\n").unwrap();
        assert_eq!(read("password").unwrap().reveal(), "hunter2");
        for (bytes, secret) in [
            ("hunter2", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("a\r\n\r\n", "a\r\n"),
            ("a\n\n", "a\n"),
            ("hunter2\r", "hunter2\r"),
        ] {
            std::fs::write(root.shared().join("password"), bytes).unwrap();
            assert_eq!(read("password").unwrap().reveal(), secret);
        }
        std::fs::write(root.shared().join("empty"), "\r\n").unwrap();
        for (name, word) in [("empty", "holds no text"), ("none", "cannot read"), (".", "regular")]
        {
            let error = read(name).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
