//! Secrets: read from where the node says they are, and told to nobody.
//!
//! What a command prints on stderr is thrown away, because it may repeat what it was to keep; that
//! it failed, and how, is all that is said.
//!
//! A secret's file is only taken from somebody who is trusted: whoever else could write it would decide,
//! say, which database the release talks to. One that everybody can read is no secret, which is said.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cutover_formats::node_toml::SecretSource;
use cutover_formats::period::Period;
use cutover_formats::secret::Secret;
use cutover_repository::child;
use cutover_repository::trusted_users::{Objection, TrustedUsers, Writers};
use cutover_terminal::quoted;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::disk::open_file_careful;
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
    /// Somebody else may have written it.
    #[error(
        "{} belongs to user {owner}, who is neither root, you nor the service's user; `chown root {}` \
         once it holds what you put there",
        path.display(), quoted(path)
    )]
    Owner {
        /// Which one.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may write to it.
    #[error(
        "{} can be written to by others (mode {mode:o}); `chmod go-w {}` once it holds what you put there",
        path.display(), quoted(path)
    )]
    Writable {
        /// Which one.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
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

/// A secret that was read.
#[derive(Debug)]
pub struct ReadSecret {
    /// Its text, without the end of line that ends it.
    pub text: Secret,
    /// The file that it came from, where everybody may read that.
    pub open_to_all: Option<PathBuf>,
}

/// Reads a secret; a file of it must belong to one of `users`.
pub fn read(
    root: &Root,
    source: &SecretSource,
    users: &TrustedUsers,
) -> Result<ReadSecret, SecretError> {
    match source {
        SecretSource::File(file) => {
            let path = root.shared().join(file);
            let failed =
                |error: io::Error| SecretError::File { path: path.clone(), why: error.to_string() };
            let file = open_file_careful(&path).map_err(failed)?;
            let found = file.metadata().map_err(failed)?;
            refuse_others(&path, &found, users)?;
            let mut bytes = Vec::new();
            file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
            let text = text(bytes, path.display().to_string())?;
            let is_open = found.mode() & 0o004 != 0;
            Ok(ReadSecret { text, open_to_all: is_open.then_some(path) })
        }
        SecretSource::Command { command, timeout } => {
            let program = command.first().cloned().unwrap_or_default();
            let bytes = run(&program, command, *timeout)?;
            let text = text(bytes, format!("the output of `{program}`"))?;
            Ok(ReadSecret { text, open_to_all: None })
        }
    }
}

fn refuse_others(path: &Path, found: &Metadata, users: &TrustedUsers) -> Result<(), SecretError> {
    let path = || path.to_owned();
    match users.objection(found.uid(), found.mode(), Writers::OwnerOnly) {
        None => Ok(()),
        Some(Objection::Owner(owner)) => Err(SecretError::Owner { path: path(), owner }),
        Some(Objection::Writable(mode)) => Err(SecretError::Writable { path: path(), mode }),
    }
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
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown};

    fn read_as_text(root: &Root, source: &SecretSource) -> Result<String, SecretError> {
        let found = read(root, source, &TrustedUsers::of_this_process());
        found.map(|secret| secret.text.reveal().to_owned())
    }

    fn command(script: &str, limit: &str) -> Result<String, SecretError> {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let source = SecretSource::Command { command, timeout: limit.parse().unwrap() };
        read_as_text(&Root::new("/nowhere".into()), &source)
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
        let error = read_as_text(&Root::new("/nowhere".into()), &source).unwrap_err().to_string();
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
        let read = |name: &str| read_as_text(&root, &SecretSource::File(name.into()));
        let is_private = |name: &str| {
            let file = root.shared().join(name);
            std::fs::write(&file, "").unwrap();
            set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        };
        ["password", "empty"].into_iter().for_each(is_private);
        std::fs::write(root.shared().join("password"), "hunter2\n").unwrap();
        assert_eq!(read("password").unwrap(), "hunter2");
        for (bytes, secret) in [
            ("hunter2", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("a\r\n\r\n", "a\r\n"),
            ("a\n\n", "a\n"),
            ("hunter2\r", "hunter2\r"),
        ] {
            std::fs::write(root.shared().join("password"), bytes).unwrap();
            assert_eq!(read("password").unwrap(), secret);
        }
        std::fs::write(root.shared().join("empty"), "\r\n").unwrap();
        for (name, word) in [("empty", "holds no text"), ("none", "cannot read"), (".", "regular")]
        {
            let error = read(name).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn whose_file_it_is_and_who_may_touch_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        std::fs::create_dir(root.shared()).unwrap();
        let file = root.shared().join("my password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let users = TrustedUsers::of_this_process();
        let source = SecretSource::File("my password".into());
        for (mode, expected) in [
            (0o600, Ok(false)),
            (0o640, Ok(false)),
            (0o644, Ok(true)),
            (0o660, Err(0o660)),
            (0o602, Err(0o602)),
        ] {
            set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let found = match read(&root, &source, &users) {
                Ok(secret) => Ok(secret.open_to_all.is_some()),
                Err(SecretError::Writable { mode, .. }) => Err(mode),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, expected, "{mode:o}");
        }
        let error = read(&root, &source, &users).unwrap_err().to_string();
        assert!(error.contains("`chmod go-w '"), "{error}");
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            let service = 65533;
            chown(&file, Some(service), None).unwrap();
            let error = read(&root, &source, &users).unwrap_err();
            assert!(matches!(error, SecretError::Owner { owner, .. } if owner == service));
            assert!(read(&root, &source, &users.and(Some(service))).is_ok());
        }
    }
}
