//! The programs, as processes.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One of the programs, beside the running test: `target/<profile>/<name>`.
///
/// # Panics
/// Where it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().expect("it lies in a folder");
    // A test lies in target/<profile>/deps, a tool in target/<profile>.
    let profile = folder.ancestors().find(|folder| !folder.ends_with("deps"));
    let profile = profile.expect("not all folders are called so");
    let program = profile.join(name);
    assert!(program.exists(), "{} is missing: `cargo build --bins` first", program.display());
    program
}

/// How a program ended and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What else it said.
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// Where it cannot be started, or was killed.
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("programs print UTF-8");
        Self {
            status: output.status.code().unwrap_or_else(|| panic!("{command:?}: killed")),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The same, where it has succeeded.
    ///
    /// # Panics
    /// Where it has not.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{self}");
        self
    }

    /// The same, where it has failed with `status` and its words contain all of `words`.
    ///
    /// # Panics
    /// Where it has not, or where it panicked itself.
    #[track_caller]
    pub fn refused(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status, status, "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in:\n{self}");
        }
        self
    }

    /// The JSON object that it printed.
    ///
    /// # Panics
    /// Where it printed anything else.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}\n{}{}", self.status, self.stdout, self.stderr)
    }
}

/// A process that is told to end when this goes.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Starts a command.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let started = command.stdin(Stdio::null()).spawn();
        Self(started.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// SIGTERM, then the end; the exit status, if it was not killed: what does not end in two minutes is.
    pub fn end(&mut self) -> Option<i32> {
        const PATIENCE: Duration = Duration::from_secs(120);
        self.signal("TERM");
        // One that was stopped hears nothing.
        self.signal("CONT");
        let began = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE {
                self.signal("KILL");
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.0.wait().ok().and_then(|status| status.code())
    }

    /// SIGKILL, for it alone, and its end.
    pub fn kill(&mut self) {
        self.signal("KILL");
        let _ = self.wait();
    }

    /// Waits for its end; the exit status, if it was not killed.
    ///
    /// # Panics
    /// Where that cannot be told.
    pub fn wait(&mut self) -> Option<i32> {
        self.0.wait().expect("it is our child").code()
    }

    /// Waits for its end; with what it said, as far as that is piped.
    ///
    /// # Panics
    /// Where it was killed.
    #[must_use]
    pub fn ended(mut self) -> Run {
        fn all(pipe: Option<impl Read>) -> String {
            let text = pipe.map(std::io::read_to_string).transpose();
            text.expect("programs print UTF-8").unwrap_or_default()
        }
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let reading = std::thread::spawn(|| all(stderr));
        let stdout = all(stdout);
        let stderr = reading.join().expect("it can be read");
        Run { status: self.wait().expect("it was not killed"), stdout, stderr }
    }

    /// Whether it has ended, by itself or otherwise.
    ///
    /// # Panics
    /// Where that cannot be told.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_some()
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        // A process that has ended already needs no signal.
        let _ = Command::new("kill").args(["-s", name, &pid]).stderr(Stdio::null()).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}
