//! A TOML text beside its syntax, so that objections can say on which line.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A TOML text beside its syntax.
pub(crate) struct Document<'t> {
    text: &'t str,
    table: Spanned<DeTable<'t>>,
}

/// How far into the document a row of keys leads.
pub(crate) struct Found {
    span: Option<Range<usize>>,
    missing: usize,
}

impl Found {
    /// Whether all the keys are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing == 0
    }
}

impl<'t> Document<'t> {
    /// Reads the syntax.
    pub(crate) fn parse(text: &'t str) -> Result<Self, toml::de::Error> {
        Ok(Self { text, table: DeTable::parse(text)? })
    }

    /// Reads the contents, and the keys to the first thing in it that means nothing.
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
    ) -> Result<(T, Option<Vec<String>>), toml::de::Error> {
        let mut unknown = None;
        let deserializer = toml::de::Deserializer::from(self.table.clone());
        let parsed = serde_ignored::deserialize(deserializer, |key| {
            unknown.get_or_insert_with(|| keys(&key));
        })?;
        Ok((parsed, unknown))
    }

    /// Follows keys (numbers in arrays) as far as the document has them.
    pub(crate) fn find<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Found {
        let mut keys = keys.into_iter();
        let mut found = Found { span: None, missing: 0 };
        let mut table: Option<&DeTable<'_>> = Some(self.table.get_ref());
        let mut array: Option<&[Spanned<DeValue<'_>>]> = None;
        while let Some(key) = keys.next() {
            let entry = table.and_then(|table| table.get_key_value(key));
            let element = || array.and_then(|array| array.get(key.parse::<usize>().ok()?));
            let value = match (entry, element()) {
                (Some((key, value)), _) => {
                    found.span = Some(key.span());
                    value
                }
                (None, Some(value)) => {
                    found.span = Some(value.span());
                    value
                }
                (None, None) => {
                    found.missing = 1 + keys.count();
                    break;
                }
            };
            table = value.get_ref().as_table();
            array = value.get_ref().as_array().map(|array| &array[..]);
        }
        found
    }

    /// The line on which what was found begins.
    pub(crate) fn line(&self, found: &Found) -> usize {
        line_of(self.text, found.span.clone())
    }
}

/// The line on which a span begins; lines count from 1.
pub(crate) fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The names and numbers on the way to a key.
fn keys(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, own) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut keys = keys(parent);
    keys.extend(own);
    keys
}
