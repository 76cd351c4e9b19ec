//! Numbers as Prometheus reads them: the text format, version 0.0.4.

use std::fmt::{Display, Write as _};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a number may fall again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises while the server runs.
    Counter,
    /// It is what it is now.
    Gauge,
    /// It counts what was no more than each of some bounds.
    Histogram,
}

/// The text, as it grows.
#[derive(Debug)]
pub struct Text {
    prefix: &'static str,
    text: String,
}

impl Text {
    /// Of numbers whose names begin with `prefix`.
    #[must_use]
    pub fn new(prefix: &'static str) -> Self {
        Self { prefix, text: String::with_capacity(4096) }
    }

    /// Says what the lines that follow are.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let prefix = self.prefix;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.add(format_args!("# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}\n"));
    }

    /// A number that has no labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }

    /// A number of the last family. The values of labels may be anything.
    pub fn line(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let prefix = self.prefix;
        self.add(format_args!("{prefix}{name}"));
        for (at, (label, word)) in labels.iter().enumerate() {
            let word = escaped(&word.to_string());
            self.add(format_args!("{}{label}=\"{word}\"", if at == 0 { '{' } else { ',' }));
        }
        self.add(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    /// All of it.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string never fails.
        let _ = self.text.write_fmt(text);
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_lines() {
        let mut text = Text::new("a_");
        text.single("b_total", Kind::Counter, "So many.", 7);
        text.family("c", Kind::Gauge, "So much.");
        text.line("c", &[("d", &"e\"\\\n"), ("f", &1)], 0.5);
        assert_eq!(
            text.into_string(),
            "# HELP a_b_total So many.\n# TYPE a_b_total counter\na_b_total 7\n\
             # HELP a_c So much.\n# TYPE a_c gauge\na_c{d=\"e\\\"\\\\\\n\",f=\"1\"} 0.5\n"
        );
    }
}
