//! The name and version that every format of ours carries.
//!
//! A format is named `<name>/<major>.<minor>`, e.g. `cutover.release/1.0`. A reader accepts any
//! minor of its own major (unknown fields are ignored) and refuses every other major.

use crate::exit::{Exit, Explain};

/// The name and the major version of a format that this crate reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// E.g. `cutover.release`.
    pub name: &'static str,
    /// Breaking changes so far.
    pub major: u32,
    /// Additions since the last breaking change.
    pub minor: u32,
}

/// A document of another format, or of a version this program does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFormat {
    /// The document is something else.
    #[error("format is `{found}`, expected `{expected}`")]
    Other {
        /// What the document says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The document is of a newer major version.
    #[error("format `{found}` is newer than this program, which reads `{expected}`")]
    Newer {
        /// What the document says.
        found: String,
        /// What was expected.
        expected: String,
    },
}

impl Explain for UnknownFormat {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Other { .. } => Vec::new(),
            Self::Newer { .. } => vec!["update Cutover on this machine, then try again".to_owned()],
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}.{}", self.name, self.major, self.minor)
    }
}

impl Format {
    /// Accepts what a document says of itself, or says why not.
    pub fn accept(&self, found: &str) -> Result<(), UnknownFormat> {
        let other = || UnknownFormat::Other { found: found.to_owned(), expected: self.to_string() };
        let numbers = found.strip_prefix(self.name).and_then(|rest| rest.strip_prefix('/'));
        let (major, minor) = numbers.and_then(|text| text.split_once('.')).ok_or_else(other)?;
        let major: u32 = major.parse().map_err(|_| other())?;
        minor.parse::<u32>().map_err(|_| other())?;
        if major == self.major {
            Ok(())
        } else if major > self.major {
            let (found, expected) = (found.to_owned(), self.to_string());
            Err(UnknownFormat::Newer { found, expected })
        } else {
            Err(other())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acceptance() {
        let format = Format { name: "cutover.release", major: 1, minor: 0 };
        assert_eq!(format.accept("cutover.release/1.7"), Ok(()));
        assert!(matches!(format.accept("cutover.release/2.0"), Err(UnknownFormat::Newer { .. })));
        for other in ["cutover.files/1.0", "cutover.release", "cutover.release/1", ""] {
            assert!(matches!(format.accept(other), Err(UnknownFormat::Other { .. })), "{other}");
        }
    }
}
