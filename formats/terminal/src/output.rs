//! Where words go: results to stdout, the rest to stderr.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::Failure;
use crate::foreign::{tame, tame_bytes, tame_json};

/// The options that every command has.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Print one machine-readable JSON object on stdout; everything else goes to stderr
    #[arg(long, global = true)]
    pub json: bool,
}

impl OutputArgs {
    /// What the options mean.
    #[must_use]
    pub fn output(&self) -> Output {
        Output { format: if self.json { Format::Json } else { Format::Text } }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Speaks to the person or the script that runs the program.
#[derive(Clone, Debug)]
pub struct Output {
    format: Format,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

impl Output {
    /// The result of a command: a JSON object for scripts, or text for people.
    ///
    /// Called once, at the end. A closed stdout is nobody's error (`pack list | head`).
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        match self.format {
            Format::Json => self.json(value),
            Format::Text => {
                let text = text();
                let text = tame(&text);
                let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                let _ = write!(anstream::stdout().lock(), "{text}{end}");
            }
        }
    }

    /// A result that comes piece by piece, and may have no end.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        let stdout = io::stdout();
        let shown = if stdout.is_terminal() { Shown::Tamed } else { Shown::AsItIs };
        Pieces { format: self.format, shown, stdout: BufWriter::new(stdout) }
    }

    /// A JSON object on stdout; nothing where text was asked for.
    pub(crate) fn json<T: Serialize>(&self, value: &T) {
        if self.format == Format::Json {
            let json = serde_json::to_string_pretty(value).expect("results are plain data");
            let _ = writeln!(anstream::stdout().lock(), "{}", tame_json(&json));
        }
    }

    /// A line about what goes on.
    pub fn note(&self, line: impl AsRef<str>) {
        let _ = writeln!(anstream::stderr().lock(), "{}", tame(line.as_ref()));
    }

    /// Something that did not stop the command but should be known.
    pub fn warn(&self, line: impl AsRef<str>) {
        let line = tame(line.as_ref());
        let _ = writeln!(anstream::stderr().lock(), "{WARNING}warning:{WARNING:#} {line}");
    }

    /// The last words of a command that failed.
    pub(crate) fn error(&self, failure: &Failure) {
        let mut stderr = anstream::stderr().lock();
        let _ = writeln!(stderr, "{ERROR}error:{ERROR:#} {}", tame(&failure.message));
        for hint in &failure.hints {
            let _ = writeln!(stderr, "{HINT}hint:{HINT:#} {}", tame(hint));
        }
    }
}

/// How foreign bytes reach stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Byte by byte, to a file or another program.
    AsItIs,
    /// To a terminal, which would take some of them for commands.
    Tamed,
}

/// A result on its way, piece by piece. Each call says where nobody reads it any more.
#[derive(Debug)]
pub struct Pieces {
    format: Format,
    shown: Shown,
    stdout: BufWriter<Stdout>,
}

impl Pieces {
    /// The next piece: an object on a line of its own for scripts, or `text` for people; byte by byte but
    /// on a terminal, which gets it without anything that it would take for a command.
    pub fn put<T: Serialize>(&mut self, value: impl FnOnce() -> T, text: &[u8]) -> io::Result<()> {
        match self.format {
            Format::Json => {
                let json = serde_json::to_string(&value())?;
                writeln!(self.stdout, "{}", tame_json(&json))
            }
            Format::Text if self.shown == Shown::Tamed => {
                self.stdout.write_all(tame_bytes(text).as_bytes())
            }
            Format::Text => self.stdout.write_all(text),
        }
    }

    /// The end of a line whose text had none.
    pub fn end_line(&mut self) -> io::Result<()> {
        if self.format == Format::Text { self.stdout.write_all(b"\n") } else { Ok(()) }
    }

    /// Shows what was put.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}
