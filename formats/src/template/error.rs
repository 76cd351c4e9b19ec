//! What is wrong with a template, and on which line.

use std::fmt;

use crate::exit::{Exit, Explain};
use crate::path::RelPath;

/// A template that cannot be read or rendered. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    path: RelPath,
    line: Option<usize>,
    what: String,
    detail: Option<String>,
}

impl TemplateError {
    pub(super) fn at(path: &RelPath, line: Option<usize>, what: String) -> Self {
        Self { path: path.clone(), line, what, detail: None }
    }

    /// The engine's error.
    pub(super) fn of(path: &RelPath, error: &minijinja::Error) -> Self {
        let detail = error.detail().map(str::to_owned);
        let what = error.kind().to_string();
        Self { path: path.clone(), line: error.line(), what, detail }
    }

    /// The same without what may repeat a value: for templates that see secrets.
    #[must_use]
    pub fn discreet(self) -> Self {
        Self { detail: None, ..self }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {}", self.path)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.what)?;
        match &self.detail {
            Some(detail) => write!(f, ": {}", detail.replace(char::is_control, " ")),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Explain for TemplateError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}
