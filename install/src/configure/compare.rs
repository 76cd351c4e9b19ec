//! How the configuration of one release differs from another's: what is rendered, what is linked, what
//! is asked for. Pure; secrets are not in it, only what stands in for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cutover_formats::descriptor::{ConfigFile, Descriptor};
use cutover_formats::input::InputName;
use cutover_formats::path::RelPath;
use serde::Serialize;
use similar::TextDiff;

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

/// One of the two that are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// What it is called, e.g. `1.0.0`.
    pub label: String,
    /// Rendered files, with a stand-in for each secret.
    pub files: BTreeMap<RelPath, String>,
    /// Links, by where they lead.
    pub links: BTreeMap<RelPath, String>,
    /// What is asked for.
    pub inputs: BTreeSet<InputName>,
}

impl Side {
    /// What a release says; `files` are what is rendered for it.
    #[must_use]
    pub fn of(label: String, release: &Descriptor, files: BTreeMap<RelPath, String>) -> Self {
        let links = release.config.iter().filter_map(|(path, file)| match file {
            ConfigFile::Linked { from, .. } => Some((path.clone(), from.clone())),
            ConfigFile::Rendered { .. } => None,
        });
        let inputs = release.inputs.keys().cloned().collect();
        Self { label, files, links: links.collect(), inputs }
    }
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// It becomes another.
    Changed,
}

/// All that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    from: String,
    to: String,
    files: Vec<FileChange>,
    links: Vec<LinkChange>,
    inputs: InputChanges,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FileChange {
    path: RelPath,
    change: Change,
    /// As `diff -u` writes it.
    diff: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct LinkChange {
    path: RelPath,
    change: Change,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct InputChanges {
    added: Vec<InputName>,
    removed: Vec<InputName>,
}

/// What going from one to the other changes.
#[must_use]
pub fn compare(from: &Side, to: &Side) -> Difference {
    let files = changes(&from.files, &to.files).map(|(path, old, new)| FileChange {
        path: path.clone(),
        change: change(old, new),
        diff: unified(path, (&from.label, old), (&to.label, new)),
    });
    let links = changes(&from.links, &to.links).map(|(path, old, new)| LinkChange {
        path: path.clone(),
        change: change(old, new),
        from: old.cloned(),
        to: new.cloned(),
    });
    Difference {
        from: from.label.clone(),
        to: to.label.clone(),
        files: files.collect(),
        links: links.collect(),
        inputs: InputChanges {
            added: to.inputs.difference(&from.inputs).cloned().collect(),
            removed: from.inputs.difference(&to.inputs).cloned().collect(),
        },
    }
}

/// The paths that are not the same on both sides, in order.
fn changes<'a>(
    from: &'a BTreeMap<RelPath, String>,
    to: &'a BTreeMap<RelPath, String>,
) -> impl Iterator<Item = (&'a RelPath, Option<&'a String>, Option<&'a String>)> {
    let paths: BTreeSet<&RelPath> = from.keys().chain(to.keys()).collect();
    let both = paths.into_iter().map(|path| (path, from.get(path), to.get(path)));
    both.filter(|(_, old, new)| old != new)
}

fn change(old: Option<&String>, new: Option<&String>) -> Change {
    match (old, new) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ => Change::Changed,
    }
}

fn unified(path: &RelPath, old: (&str, Option<&String>), new: (&str, Option<&String>)) -> String {
    let name = |(label, text): (&str, Option<&String>)| match text {
        Some(_) => format!("{label}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let text = |(_, text): (&str, Option<&String>)| text.cloned().unwrap_or_default();
    let (before, after) = (text(old), text(new));
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    diff.unified_diff().context_radius(CONTEXT).header(&name(old), &name(new)).to_string()
}

impl Difference {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let inputs = &self.inputs;
        let same = self.files.is_empty() && self.links.is_empty();
        same && inputs.added.is_empty() && inputs.removed.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.iter().try_for_each(|file| f.write_str(&file.diff))?;
        for link in &self.links {
            match (&link.from, &link.to) {
                (None, Some(to)) => writeln!(f, "link {} is added: to {to}", link.path)?,
                (Some(from), None) => writeln!(f, "link {} is removed: to {from}", link.path)?,
                (from, to) => {
                    let [from, to] = [from, to].map(|at| at.as_deref().unwrap_or_default());
                    writeln!(f, "link {} changes: from {from} to {to}", link.path)?;
                }
            }
        }
        self.inputs.added.iter().try_for_each(|name| writeln!(f, "input {name} is added"))?;
        self.inputs.removed.iter().try_for_each(|name| writeln!(f, "input {name} is removed"))?;
        if self.is_empty() {
            writeln!(f, "nothing changes from {} to {}", self.from, self.to)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<RelPath, String> {
        let entry = |(path, text): &(&str, &str)| (path.parse().unwrap(), (*text).to_owned());
        entries.iter().map(entry).collect()
    }

    fn side(label: &str, files: &[(&str, &str)], links: &[(&str, &str)], inputs: &[&str]) -> Side {
        let inputs = inputs.iter().map(|name| name.parse().unwrap()).collect();
        Side { label: label.to_owned(), files: map(files), links: map(links), inputs }
    }

    #[test]
    fn what_comes_goes_and_changes() {
        let old = side(
            "1.0.0",
            &[("app.ini", "a\nb\n"), ("gone", "x\n"), ("same", "s\n")],
            &[("l", "/a"), ("m", "/m")],
            &["workers", "legacy"],
        );
        let new = side(
            "1.1.0",
            &[("app.ini", "a\nc\n"), ("new", "y\n"), ("same", "s\n")],
            &[("l", "/b"), ("n", "/n")],
            &["workers", "token"],
        );
        let expected = "\
--- 1.0.0/app.ini
+++ 1.1.0/app.ini
@@ -1,2 +1,2 @@
 a
-b
+c
--- 1.0.0/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
--- /dev/null
+++ 1.1.0/new
@@ -0,0 +1 @@
+y
link l changes: from /a to /b
link m is removed: to /m
link n is added: to /n
input token is added
input legacy is removed
";
        assert_eq!(compare(&old, &new).to_string(), expected);
        let same = compare(&old, &Side { label: "2.0.0".to_owned(), ..old.clone() });
        assert_eq!(same.to_string(), "nothing changes from 1.0.0 to 2.0.0\n");
    }
}
