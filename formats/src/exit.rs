//! Exit codes, the same in all programs, and what an error must be able to say.

use std::fmt;

/// How a program ends. The numbers are part of the interface: scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// Something happened that no other code describes.
    Unexpected = 1,
    /// The command line, the environment or a configuration file is wrong.
    Usage = 2,
    /// A signature, expiry, version, digest or path was refused.
    NotTrusted = 3,
    /// A product, version, channel or file does not exist.
    NotFound = 4,
    /// A check failed; the node is on the release it was on before.
    CheckFailed = 5,
    /// A lock is held, or a race was lost.
    Busy = 6,
    /// A disk or quota is full.
    NoSpace = 7,
    /// The repository or the network cannot be reached.
    Unreachable = 8,
}

impl Exit {
    /// The process exit status.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a program of ours meant that ended with `code`; `None` where none of them does.
    #[must_use]
    pub fn of_code(code: i32) -> Option<Self> {
        let all = [
            Self::Done,
            Self::Unexpected,
            Self::Usage,
            Self::NotTrusted,
            Self::NotFound,
            Self::CheckFailed,
            Self::Busy,
            Self::NoSpace,
            Self::Unreachable,
        ];
        all.into_iter().find(|exit| i32::from(exit.code()) == code)
    }

    /// The classification of an operating system error that nothing more specific is known about.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Exit::NoSpace,
            Kind::NotFound => Exit::NotFound,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Exit::Usage,
            _ if is_out_of_files(error) => Exit::Usage,
            Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::TimedOut => Exit::Unreachable,
            _ => Exit::Unexpected,
        }
    }

    /// What to do about such an error on one's own machine, as far as that is the same whatever was tried.
    #[must_use]
    pub fn hints_of_io(error: &std::io::Error) -> Vec<String> {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                vec!["run it as the user whose files these are, or as root".to_owned()]
            }
            _ if is_out_of_files(error) => {
                vec![
                    "raise the limit of open files: `ulimit -n`, or LimitNOFILE= of the unit"
                        .to_owned(),
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// Whether this process, or the machine, may open no more files: a limit that somebody set.
fn is_out_of_files(error: &std::io::Error) -> bool {
    /// The same number on every system that this runs on.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}

/// An expected failure: a value with an exit code and advice, not a surprise.
///
/// The error's `Display` names the thing that is wrong, in lower case and without a full stop.
pub trait Explain: std::error::Error {
    /// The documented exit code.
    fn exit(&self) -> Exit;

    /// What to do next, or what was left untouched; one or more lines, each a sentence part
    /// that reads well after `hint: `.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}
