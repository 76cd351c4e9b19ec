//! What is found in one file: differences to be shown, and objections.

use std::fmt;

use super::Difference;
use crate::exit::{Exit, Explain};

/// Why a change is neither signed nor published.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Objection {
    /// The role whose file is objected to.
    pub role: String,
    /// What is wrong with it.
    pub why: String,
}

impl Objection {
    pub(super) fn new(role: &str, why: impl Into<String>) -> Self {
        Self { role: plain(role), why: plain(&why.into()) }
    }
}

/// Text that came from elsewhere, without anything that would have a terminal do more than print it.
#[must_use]
pub fn plain(text: &str) -> String {
    let is_mark = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || is_mark(c) { '\u{fffd}' } else { c }).collect()
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.role, self.why)
    }
}

/// All objections to a change; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objections(pub Vec<Objection>);

impl fmt::Display for Objections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the change is refused: ")?;
        let mut all = self.0.iter();
        match all.next() {
            Some(first) => write!(f, "{first}")?,
            None => f.write_str("it is empty")?,
        }
        match all.count() {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl std::error::Error for Objections {}

impl Explain for Objections {
    fn exit(&self) -> Exit {
        Exit::NotTrusted
    }

    fn hints(&self) -> Vec<String> {
        const MOST: usize = 8;
        let others = self.0.iter().skip(1).take(MOST).map(|one| format!("also {one}"));
        let advice = "nothing was signed or published; pack never makes such a change: ask who made \
                      it, by another way than the file came";
        others.chain([advice.to_owned()]).collect()
    }
}

pub(super) struct Findings {
    role: String,
    differences: Vec<Difference>,
    objections: Vec<Objection>,
}

impl Findings {
    pub(super) fn new(role: &str) -> Self {
        Self { role: role.to_owned(), differences: Vec::new(), objections: Vec::new() }
    }

    pub(super) fn object(&mut self, why: impl Into<String>) {
        self.objections.push(Objection::new(&self.role, why));
    }

    pub(super) fn show(&mut self, difference: Difference) {
        self.differences.push(difference);
    }

    pub(super) fn into_parts(self, objections: &mut Vec<Objection>) -> Vec<Difference> {
        objections.extend(self.objections);
        self.differences
    }
}
