//! The installer's end of the control socket: blocking, with timeouts.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::format::UnknownFormat;
use cutover_formats::version::Version;
use cutover_node::root::Root;
use jiff::Timestamp;

use super::protocol::{Call, Fault, Hello, Outcome, Reply};
use super::protocol::{GateStatus, Maintenance, SwapFigures};
use super::protocol::{LONGEST_REPLY, PROTOCOL, WORKING_EVERY};

/// A gate that is alive says something every second.
const SILENCE: Duration = Duration::from_secs(10 * WORKING_EVERY.as_secs());

/// What the hint begins with that has the end of a service's output.
pub const LAST_WORDS: &str = "its last words";

/// How often a gate that closes the connection at once is greeted again.
const GREETINGS: usize = 3;

/// A conversation with the node's gate.
///
/// From [`Session::begin`] to [`Session::finish`] it holds the gate's lease: only this session
/// may change what runs. Where it ends without `finish` (the installer died), the gate returns by
/// itself to what `<root>/current` names.
#[derive(Debug)]
pub struct Session {
    stream: BufReader<UnixStream>,
    socket: PathBuf,
}

/// Why the gate did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another install has the lease.
    #[error("the gate is in use by another install (process {pid}) since {since}")]
    Busy {
        /// Its process.
        pid: u32,
        /// Since when.
        since: Timestamp,
    },
    /// The newcomer did not become healthy.
    #[error("{version} did not become healthy: {reason}")]
    Unhealthy {
        /// Which release.
        version: Version,
        /// What happened.
        reason: String,
        /// The last lines of the service's output.
        log_tail: Vec<String>,
    },
    /// The service could not be started at all.
    #[error("{version} cannot be started: {reason}")]
    CannotStart {
        /// Which release.
        version: Version,
        /// What is wrong.
        reason: String,
        /// What that is, where the node is to blame and not the release.
        node: Option<Exit>,
    },
    /// The gate refused a call that makes no sense in its present state.
    #[error("the gate refused: {0}")]
    Refused(String),
    /// A file that the gate needs could not be read or written.
    #[error("the gate: {0}")]
    Failed(String),
    /// The gate speaks another version of the protocol than this program.
    #[error(
        "the gate that runs is {gate}, and this is Cutover {}: they do not understand each other",
        env!("CARGO_PKG_VERSION")
    )]
    OtherVersion {
        /// What the gate is, for people.
        gate: String,
        /// Which of the two is to be replaced.
        older: Older,
    },
    /// The gate went away, or went silent, in the middle of the conversation.
    #[error("lost the gate at {socket}: {why}")]
    Lost {
        /// The control socket.
        socket: String,
        /// What happened.
        why: io::Error,
    },
}

/// Which of a gate and a program that talks to it is the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// The gate.
    Gate,
    /// The program.
    Program,
}

impl ControlError {
    /// Whether the release is to blame, and not the node, the gate or the conversation with it.
    #[must_use]
    pub fn blames_release(&self) -> bool {
        matches!(self, Self::Unhealthy { .. } | Self::CannotStart { node: None, .. })
    }

    /// What went wrong on the control socket.
    pub(super) fn lost(socket: &Path, why: io::Error) -> Self {
        let why = match why.kind() {
            // What a timeout of a socket is called.
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => why,
        };
        Self::Lost { socket: socket.display().to_string(), why }
    }
}

impl Explain for ControlError {
    fn exit(&self) -> Exit {
        match self {
            Self::Busy { .. } => Exit::Busy,
            Self::CannotStart { node: Some(exit), .. } => *exit,
            Self::Unhealthy { .. } | Self::CannotStart { .. } => Exit::CheckFailed,
            Self::OtherVersion { .. } => Exit::Usage,
            Self::Lost { why, .. } if why.kind() == io::ErrorKind::PermissionDenied => Exit::Usage,
            Self::Refused(_) | Self::Failed(_) | Self::Lost { .. } => Exit::Unexpected,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Busy { .. } => vec!["wait for it to end, then try again".to_owned()],
            Self::Unhealthy { log_tail, .. } if !log_tail.is_empty() => {
                vec![format!("{LAST_WORDS}:\n  {}", log_tail.join("\n  "))]
            }
            Self::OtherVersion { older: Older::Gate, .. } => vec![
                "nothing was changed; `install gate --replace --background` puts a gate of this \
                 version in its place without losing a request, then try again"
                    .to_owned(),
            ],
            Self::OtherVersion { older: Older::Program, .. } => {
                vec![
                    "nothing was changed; use the `install` that the gate was started with"
                        .to_owned(),
                ]
            }
            Self::Lost { why, .. } if why.kind() == io::ErrorKind::PermissionDenied => {
                vec!["ask as the user that the gate runs as, or as root".to_owned()]
            }
            Self::Lost { .. } => {
                vec!["see the gate's log; a gate that starts returns to `current`".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl From<Fault> for ControlError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Busy { pid, since } => Self::Busy { pid, since },
            Fault::Unhealthy { version, reason, log_tail } => {
                Self::Unhealthy { version, reason, log_tail }
            }
            Fault::CannotStart { version, reason, node } => {
                let node = node.map(|code| Exit::of_code(code.into()).unwrap_or(Exit::Unexpected));
                Self::CannotStart { version, reason, node }
            }
            Fault::OutOfTurn(why) => Self::Refused(why),
            Fault::Io(why) => Self::Failed(why),
        }
    }
}

impl Session {
    /// Finds the gate of `root`; `None` where none is running.
    pub fn connect(root: &Root) -> Result<Option<Self>, ControlError> {
        let stream = reach(root)?;
        Ok(stream.map(|stream| Self { stream: BufReader::new(stream), socket: root.control() }))
    }

    /// How the gate is.
    pub fn status(&mut self) -> Result<GateStatus, ControlError> {
        match self.call(&Call::Status)? {
            Outcome::Status(status) => Ok(*status),
            other => Err(self.confused(&other)),
        }
    }

    /// Takes the lease. Waits where the gate is still tidying up after an install that broke off.
    pub fn begin(&mut self) -> Result<(), ControlError> {
        self.nothing(&Call::Begin { pid: std::process::id() })
    }

    /// Good answers carry `X-Backoff: <seconds>` from now on; `0` ends that.
    pub fn announce(&mut self, seconds: u64) -> Result<(), ControlError> {
        self.nothing(&Call::Announce { seconds })
    }

    /// New requests wait.
    pub fn hold(&mut self) -> Result<(), ControlError> {
        self.nothing(&Call::Hold)
    }

    /// New requests are told to come back.
    pub fn backoff(&mut self) -> Result<(), ControlError> {
        self.nothing(&Call::Backoff)
    }

    /// Requests, also those that wait, go to the running service; announcements end. After a
    /// promotion, waits until the service has stayed healthy for as long as its release says.
    pub fn open(&mut self) -> Result<(), ControlError> {
        self.nothing(&Call::Open)
    }

    /// Starts a newcomer beside whatever runs, in place of an earlier newcomer.
    pub fn start(&mut self, version: &Version) -> Result<(), ControlError> {
        self.nothing(&Call::Start { version: version.clone() })
    }

    /// Waits until the newcomer is healthy, at most as long as its release allows.
    pub fn wait_healthy(&mut self) -> Result<Duration, ControlError> {
        self.duration(&Call::WaitHealthy)
    }

    /// Lets requests in flight finish, then stops the running service.
    pub fn stop_running(&mut self) -> Result<Duration, ControlError> {
        self.duration(&Call::StopRunning)
    }

    /// Makes the healthy newcomer the running service; the one before stays alive, retiring.
    pub fn promote(&mut self) -> Result<(), ControlError> {
        self.nothing(&Call::Promote)
    }

    /// Lets requests in flight at the retiring service finish, then stops it.
    pub fn retire(&mut self) -> Result<Duration, ControlError> {
        self.duration(&Call::Retire)
    }

    /// Stops the newcomer; what runs is left alone.
    pub fn abandon(&mut self) -> Result<(), ControlError> {
        self.nothing(&Call::Abandon)
    }

    /// Gives the lease back and tells what the swap cost.
    pub fn finish(&mut self) -> Result<SwapFigures, ControlError> {
        match self.call(&Call::Finish)? {
            Outcome::Figures(figures) => Ok(figures),
            other => Err(self.confused(&other)),
        }
    }

    /// Closes the site on the operator's word, until a moment or until further notice.
    pub fn maintenance_on(
        &mut self,
        until: Option<Timestamp>,
        message: Option<&str>,
    ) -> Result<(), ControlError> {
        let message = message.map(str::to_owned);
        self.nothing(&Call::MaintenanceOn(Maintenance { until, message }))
    }

    /// Opens the site again.
    pub fn maintenance_off(&mut self) -> Result<(), ControlError> {
        self.nothing(&Call::MaintenanceOff)
    }

    fn nothing(&mut self, call: &Call) -> Result<(), ControlError> {
        match self.call(call)? {
            Outcome::Nothing => Ok(()),
            other => Err(self.confused(&other)),
        }
    }

    fn duration(&mut self, call: &Call) -> Result<Duration, ControlError> {
        match self.call(call)? {
            Outcome::Seconds(seconds) => {
                Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
            }
            other => Err(self.confused(&other)),
        }
    }

    fn call(&mut self, call: &Call) -> Result<Outcome, ControlError> {
        let reply = converse(&mut self.stream, call).map_err(|why| self.lost(why))?;
        reply.map_err(ControlError::from)
    }

    fn confused(&self, outcome: &Outcome) -> ControlError {
        self.lost(io::Error::other(format!("it answered something else: {outcome:?}")))
    }

    fn lost(&self, why: io::Error) -> ControlError {
        ControlError::lost(&self.socket, why)
    }
}

/// The control socket of the gate of `root`, which speaks this program's protocol; `None` where none is
/// running.
pub(super) fn reach(root: &Root) -> Result<Option<UnixStream>, ControlError> {
    for _ in 0..GREETINGS {
        let Some(stream) = reach_any(root)? else { return Ok(None) };
        match greet(&stream) {
            Ok(Ok(gate)) => return understood(&gate).map(|()| Some(stream)),
            Ok(Err(fault)) => return Err(fault.into()),
            // It has ended, or another gate has taken its place; or it knows no `hello`, and goes on.
            Err(why) if is_end(&why) => {}
            Err(why) => return Err(ControlError::lost(&root.control(), why)),
        }
    }
    let gate = "older than its control protocol 1.0".to_owned();
    Err(ControlError::OtherVersion { gate, older: Older::Gate })
}

fn is_end(why: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(why.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// Says who this is; what the gate says to that. It says nothing more before it is asked.
fn greet(stream: &UnixStream) -> io::Result<Result<Hello, Fault>> {
    let said = converse(&mut BufReader::new(stream.try_clone()?), &Call::Hello(Hello::mine()))?;
    Ok(match said {
        Ok(Outcome::Hello(gate)) => Ok(gate),
        Ok(other) => Err(Fault::OutOfTurn(format!("it answered something else: {other:?}"))),
        Err(fault) => Err(fault),
    })
}

fn understood(gate: &Hello) -> Result<(), ControlError> {
    let older = match PROTOCOL.accept(&gate.protocol) {
        Ok(()) => return Ok(()),
        Err(UnknownFormat::Newer { .. }) => Older::Program,
        Err(UnknownFormat::Other { .. }) => Older::Gate,
    };
    let Hello { program, protocol } = gate;
    let gate = format!("of Cutover {program} and speaks `{protocol}`");
    Err(ControlError::OtherVersion { gate, older })
}

/// Asks for `call`, and waits until it is done or has failed.
fn converse(stream: &mut BufReader<UnixStream>, call: &Call) -> io::Result<Result<Outcome, Fault>> {
    let mut line = serde_json::to_vec(call)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line)?;
    loop {
        line.clear();
        stream.take(LONGEST_REPLY).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match serde_json::from_slice(&line)? {
            Reply::Working => {}
            Reply::Done(outcome) => return Ok(Ok(outcome)),
            Reply::Failed(fault) => return Ok(Err(fault)),
        }
    }
}

/// The control socket of the gate of `root`, of whatever version; `None` where none is running.
pub(super) fn reach_any(root: &Root) -> Result<Option<UnixStream>, ControlError> {
    let socket = root.control();
    let reached = UnixStream::connect(&socket).and_then(|stream| {
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(stream)
    });
    match reached {
        Err(why)
            if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        reached => reached.map(Some).map_err(|why| ControlError::lost(&socket, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// What `install` says where a gate answers its first line so; `None` is one that hangs up.
    fn meets(answer: Option<&'static str>) -> ControlError {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_path_buf());
        std::fs::create_dir(root.run()).unwrap();
        let gate = UnixListener::bind(root.control()).unwrap();
        let answering = std::thread::spawn(move || {
            let mut line = String::new();
            for _ in 0..if answer.is_some() { 1 } else { GREETINGS } {
                let (stream, _) = gate.accept().unwrap();
                line.clear();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                if let Some(answer) = answer {
                    (&stream).write_all(answer.as_bytes()).unwrap();
                }
            }
            (line, gate)
        });
        let error = Session::connect(&root).unwrap_err();
        let (line, _gate) = answering.join().unwrap();
        assert!(line.contains("\"call\":\"hello\",\"protocol\":\"cutover.gate/1."), "{line}");
        error
    }

    #[test]
    fn another_version_is_called_so() {
        let older = |error: &ControlError| match error {
            ControlError::OtherVersion { older, .. } => *older,
            error => panic!("{error}"),
        };
        let error = meets(None);
        assert_eq!((older(&error), error.exit()), (Older::Gate, Exit::Usage));
        assert!(error.to_string().starts_with("the gate that runs is older than"), "{error}");
        assert!(error.hints()[0].contains("--replace"), "{:?}", error.hints());
        let next =
            "{\"done\":{\"hello\":{\"protocol\":\"cutover.gate/2.0\",\"program\":\"9.1.0\"}}}\n";
        let error = meets(Some(next));
        assert_eq!(older(&error), Older::Program);
        assert!(error.to_string().contains("of Cutover 9.1.0"), "{error}");
    }

    #[test]
    fn a_later_minor_version_is_understood() {
        let gate = Hello { protocol: "cutover.gate/1.7".to_owned(), program: String::new() };
        assert!(understood(&gate).is_ok());
        // What it says beside what is known here is passed over.
        let text = "{\"call\":\"hello\",\"protocol\":\"x\",\"program\":\"y\",\"sites\":[\"a\"]}";
        let hello = Hello { protocol: "x".to_owned(), program: "y".to_owned() };
        assert_eq!(serde_json::from_str::<Call>(text).unwrap(), Call::Hello(hello));
    }
}
