//! Templates: text of a release with the node's values put in.
//!
//! The language is Jinja's. A template comes with a release and may be hostile although it is
//! signed, so it can do nothing but compute text, and not much of it:
//!
//! - it sees the values that it names and nothing else: no file, no other template, no variable of
//!   the environment, no clock; a name that is no input is an error, not an empty text;
//! - it has at most [`LARGEST`] bytes; the text it makes, [`LARGEST_TEXT`]; its steps and the memory
//!   they take are counted (the engine's *fuel*), and so is how deeply they nest;
//! - tags (`{{ … }}`, `{% … %}`) are short, and not too many. The engine parses a chain of operators, and
//!   drops nested values, recursively, so that long ones would overflow the stack: its own tokenizer
//!   counts them before, and what may still come of that has a stack of its own. There is no
//!   `namespace()`, because a loop could nest a value in itself with it.
//!
//! Nothing is escaped: the engine cannot know what an `app.ini` takes for a quote. `tojson` quotes for
//! JSON, YAML and most that reads C-like strings. A line that holds only a `{% … %}` leaves no empty
//! line behind, and the last line keeps its end.

mod error;
mod stack;
mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, escape_formatter};

use crate::input::Value;
use crate::path::RelPath;

pub use error::TemplateError;

/// Most bytes that a template may have.
pub const LARGEST: u64 = 64 << 10;

/// Most bytes that it may make.
pub const LARGEST_TEXT: usize = 1 << 20;

/// Steps that it may take, each 64 bytes that it works on counting as one: enough for
/// thousands of lines, and at most 6.4 MB at a time.
const FUEL: u64 = 100_000;

/// How deeply calls may nest.
const DEPTH: usize = 100;

/// A template whose syntax is right.
#[derive(Debug)]
pub struct Template {
    path: RelPath,
    names: BTreeSet<String>,
    engine: Environment<'static>,
}

/// What a template's names stand for.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, minijinja::Value>);

/// Values may be secret.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// `name` stands for `value`.
    pub fn set(&mut self, name: &str, value: &Value) {
        let value = match value {
            Value::Boolean(value) => minijinja::Value::from(*value),
            Value::Integer(value) => minijinja::Value::from(*value),
            Value::Text(text) => minijinja::Value::from(text.as_str()),
            Value::List(texts) => texts.iter().map(String::as_str).collect(),
        };
        self.0.insert(name.to_owned(), value);
    }

    /// `name` stands for a text.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.0.insert(name.to_owned(), minijinja::Value::from(text));
    }

    /// `name` stands for nothing: `none`, which is false.
    pub fn set_none(&mut self, name: &str) {
        self.0.insert(name.to_owned(), minijinja::Value::from(()));
    }
}

impl Template {
    /// Reads a template, whose path serves for messages.
    pub fn parse(path: &RelPath, bytes: &[u8]) -> Result<Self, TemplateError> {
        if bytes.len() as u64 > LARGEST {
            return Err(TemplateError::at(
                path,
                None,
                format!("it is larger than {LARGEST} bytes"),
            ));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = lines(&bytes[..error.valid_up_to()]);
            TemplateError::at(path, Some(line), "it is not UTF-8".to_owned())
        })?;
        stack::with_room(path, || {
            let engine = engine(path, text)?;
            let template = engine.get_template(path.as_str());
            let names = template.map(|template| template.undeclared_variables(false));
            let names = names.map_err(|error| TemplateError::of(path, &error))?;
            let own: Vec<&str> = engine.globals().map(|(name, _)| name).collect();
            let names = names.into_iter().filter(|name| !own.contains(&name.as_str())).collect();
            Ok(Self { path: path.clone(), names, engine })
        })
    }

    /// Where it stands in the release.
    #[must_use]
    pub fn path(&self) -> &RelPath {
        &self.path
    }

    /// The names that it takes from outside.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// The first of [`Template::names`] for which `known` does not hold, as an error.
    pub fn check_names(&self, known: impl Fn(&str) -> bool) -> Result<(), TemplateError> {
        match self.names.iter().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => {
                let what = format!("`{name}` is no input of the release");
                Err(TemplateError::at(&self.path, self.line_of(name), what))
            }
        }
    }

    /// Puts `values` in.
    pub fn render(&self, values: &Values) -> Result<String, TemplateError> {
        stack::with_room(&self.path, || self.render_here(values))
    }

    fn render_here(&self, values: &Values) -> Result<String, TemplateError> {
        let failed = |error: minijinja::Error| TemplateError::of(&self.path, &error);
        let template = self.engine.get_template(self.path.as_str()).map_err(failed)?;
        // What it does not name it does not get.
        let mut given = values.0.clone();
        given.retain(|name, _| self.names.contains(name));
        let mut text = Bounded(Vec::new());
        let rendered = template.render_captured_to(given, &mut text).map(drop);
        if text.0.len() > LARGEST_TEXT {
            let what = format!("the text it makes is larger than {LARGEST_TEXT} bytes");
            return Err(TemplateError::at(&self.path, None, what));
        }
        rendered.map_err(failed)?;
        String::from_utf8(text.0)
            .map_err(|_| TemplateError::at(&self.path, None, "it makes no UTF-8".to_owned()))
    }

    /// The first line that has `name` as a word.
    fn line_of(&self, name: &str) -> Option<usize> {
        let template = self.engine.get_template(self.path.as_str()).ok()?;
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let line = |line: &str| line.split(|c| !in_word(c)).any(|word| word == name);
        template.source().lines().position(line).map(|index| index + 1)
    }
}

/// The engine with one template, set up as the head of this module says.
fn engine(path: &RelPath, text: &str) -> Result<Environment<'static>, TemplateError> {
    let failed = |error: minijinja::Error| TemplateError::of(path, &error);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .map_err(failed)?;
    tags::check(path, text, &syntax)?;
    let mut engine = Environment::new();
    engine.remove_global("debug");
    engine.remove_global("namespace");
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_formatter(|out, state, value| match value.kind() {
        // The engine writes them as Python does, which few formats read.
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => escape_formatter(out, state, value),
    });
    engine.set_recursion_limit(DEPTH);
    engine.set_fuel(Some(FUEL));
    engine.set_syntax(syntax);
    engine.add_template_owned(path.to_string(), text.to_owned()).map_err(failed)?;
    Ok(engine)
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Takes bytes up to [`LARGEST_TEXT`], and the one write that goes beyond.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (LARGEST_TEXT + 1).saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = &bytes[..bytes.len().min(room)];
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
