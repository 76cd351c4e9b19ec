//! From which distribution a file of a Python environment was installed: by the `RECORD` files that
//! installers keep there (the packaging standard calls them the database of installed projects).
//!
//! They were written on this node by what built the environment, and are held against the inventory
//! like all else there; nothing is decided by them.

use std::path::Path;

use cutover_formats::descriptor::Vendored;
use cutover_formats::path::RelPath;

use crate::audit::Inventory;
use crate::build::record;
use crate::disk::{DiskError, Folder};

/// An installed distribution, as its folder `<name>-<version>.dist-info` is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    name: String,
    version: String,
}

impl Distribution {
    /// The one that `folder`, the last component of a path, belongs to.
    fn of(folder: &str) -> Option<Self> {
        let (name, version) = folder.strip_suffix(".dist-info")?.rsplit_once('-')?;
        Some(Self { name: name.to_owned(), version: version.to_owned() })
    }

    /// The same among those that a release carries.
    pub(super) fn among<'v>(&self, vendored: &'v [Vendored]) -> Option<&'v Vendored> {
        let named = |it: &&Vendored| it.kind == "python" && normal(&it.name) == normal(&self.name);
        let mut all = vendored.iter().filter(named);
        all.clone().find(|it| it.version.as_deref() == Some(&*self.version)).or_else(|| all.next())
    }
}

/// Names that differ in case or in `-`, `_`, `.` are the same name.
fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// The distribution that `path` was installed from, if one says so.
pub(super) fn distribution(
    built: &Inventory,
    prefix: &Path,
    path: &RelPath,
) -> Result<Option<Distribution>, DiskError> {
    let folder = Folder::open(prefix)?;
    let wanted = [Some(path.as_str().to_owned()), source_of(path.as_str())];
    for record in built.paths().filter(|path| path.file_name() == "RECORD") {
        let Some((site, info)) = record::place(record) else { continue };
        let Some(distribution) = Distribution::of(info) else { continue };
        // One that was spoiled says nothing; that it was, `install verify` says.
        let Some(text) = record::text(&folder, record)? else { continue };
        if text.lines().any(|line| wanted.contains(&record::resolve(site, line))) {
            return Ok(Some(distribution));
        }
    }
    Ok(None)
}

/// The source that a compiled file was compiled from, which not every installer records:
/// `a/__pycache__/b.cpython-311.opt-1.pyc` is of `a/b.py`.
fn source_of(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once("/__pycache__/")?;
    let (module, _tag) = name.strip_suffix(".pyc")?.split_once('.')?;
    Some(format!("{folder}/{module}.py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_files_and_names() {
        let source = source_of("env/a/__pycache__/b.cpython-311.opt-1.pyc");
        assert_eq!(source.as_deref(), Some("env/a/b.py"));
        assert_eq!(source_of("env/a/b.py"), None);
        assert_eq!(normal("Zope.Interface__X"), "zope-interface-x");
        let found = Distribution::of("zope.interface-7.0.dist-info").unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("zope.interface", "7.0"));
        assert_eq!(Distribution::of("kinto"), None);
    }
}
