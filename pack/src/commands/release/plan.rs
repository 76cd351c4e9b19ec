//! What `--dry-run` prints.

use std::fmt;

use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_terminal::{Table, bytes};
use serde::Serialize;

use super::assemble::Assembled;
use super::signing;
use crate::source::SourceTree;
use crate::vendor::Fetched;

/// What a release would do.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    product: Product,
    version: Version,
    commit: Option<String>,
    tag: Option<String>,
    checks: Vec<String>,
    vendored: Vec<Distribution>,
    files: Files,
    uploads: Vec<String>,
    signs: Vec<String>,
    channel: Option<Channel>,
}

#[derive(Debug, Serialize)]
struct Distribution {
    kind: String,
    name: String,
    version: Option<String>,
    file: String,
    size: u64,
}

#[derive(Debug, Serialize)]
struct Files {
    entries: u64,
    bytes: u64,
}

impl Plan {
    /// The plan for a tree in which everything is found.
    pub(super) fn new(
        tree: &SourceTree,
        fetched: &[Fetched],
        assembled: &Assembled,
        channel: Option<&Channel>,
    ) -> Self {
        let (product, version) = (&tree.product, &tree.version);
        let (bundle, sums) = (layout::bundle_name(product, version), layout::checksums_name());
        let file = |name| layout::release_file(product, version, name);
        let signed = [file(&bundle), file(&sums)];
        let signatures = signed.iter().map(|path| layout::stored_signature(path));
        let tables = [layout::frame_table_name(), layout::file_list_name()];
        let rest = tables.iter().map(file).chain([layout::descriptor(product, version)]);
        let own = signed.iter().cloned().chain(rest).chain(signatures);
        Self {
            product: product.clone(),
            version: version.clone(),
            commit: tree.origin.commit.clone(),
            tag: tree.origin.tag.clone(),
            checks: tree.manifest.checks.before_release.clone(),
            vendored: fetched.iter().map(Distribution::of).collect(),
            files: Files {
                entries: assembled.contents.entries.len() as u64,
                bytes: assembled.bytes,
            },
            uploads: own.chain(fetched.iter().map(|it| layout::vendored(&it.record))).collect(),
            signs: signing(channel).iter().map(ToString::to_string).collect(),
            channel: channel.cloned(),
        }
    }
}

impl Distribution {
    fn of(fetched: &Fetched) -> Self {
        let record = fetched.record.clone();
        Self {
            kind: record.kind,
            name: record.name,
            version: record.version,
            file: record.file,
            size: record.size,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Files { entries, bytes: size } = self.files;
        let from = match (&self.tag, &self.commit) {
            (Some(tag), Some(commit)) => format!(" from tag {tag}, commit {commit}"),
            _ => String::new(),
        };
        writeln!(f, "would release {} {}{from}", self.product, self.version)?;
        for command in &self.checks {
            writeln!(f, "would check: {command}")?;
        }
        let vendored: u64 = self.vendored.iter().map(|it| it.size).sum();
        let count = self.vendored.len();
        writeln!(f, "would pack {entries} files and links, {}", bytes(size))?;
        if count > 0 {
            writeln!(f, "among them {count} vendored distributions, {}:", bytes(vendored))?;
            let mut table = Table::new(["kind", "name", "version", "size", "file"]);
            for it in &self.vendored {
                let version = it.version.clone().unwrap_or_default();
                let size = bytes(it.size);
                table.row([it.kind.clone(), it.name.clone(), version, size, it.file.clone()]);
            }
            write!(f, "{table}")?;
        }
        writeln!(
            f,
            "would upload bundle, file list, descriptor and SHA256SUMS, and {count} distributions"
        )?;
        writeln!(f, "would sign with the keys of {}", self.signs.join(", "))?;
        match &self.channel {
            Some(channel) => writeln!(f, "would point {channel} at {}", self.version)?,
            None => writeln!(f, "would move no channel")?,
        }
        writeln!(f, "nothing was written to the repository")
    }
}
