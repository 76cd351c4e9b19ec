//! What came of a release.

use std::fmt;
use std::time::{Duration, Instant};

use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_publish::{Published, ReleaseFiles};
use cutover_terminal::{bytes, duration};
use serde::{Serialize, Serializer};

/// How long each part took, in order.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Stages(Vec<Stage>);

#[derive(Debug, Serialize)]
struct Stage {
    name: &'static str,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    took: Duration,
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((took.as_secs_f64() * 1000.0).round() / 1000.0)
}

impl Stages {
    /// Does something and remembers how long it took.
    pub(super) fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.0.push(Stage { name, took: started.elapsed() });
        done
    }
}

/// A release that was made.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    product: Product,
    version: Version,
    commit: Option<String>,
    tag: Option<String>,
    bundle: Stored,
    files: Files,
    descriptor: Stored,
    /// Signatures for `minisign`.
    minisigned: Vec<String>,
    vendored: u64,
    uploaded: u64,
    channel: Option<Channel>,
    snapshot: u64,
    stages: Stages,
}

/// A file of the repository.
#[derive(Debug, Serialize)]
struct Stored {
    path: String,
    sha256: Digest,
    size: u64,
}

#[derive(Debug, Serialize)]
struct Files {
    entries: u64,
    bytes: u64,
    path: String,
    sha256: Digest,
    size: u64,
}

impl Report {
    /// The account of a release that is published.
    pub(super) fn new(
        descriptor: &Descriptor,
        files: &ReleaseFiles,
        published: &Published,
        stages: Stages,
    ) -> Self {
        let (product, version) = (&descriptor.product, &descriptor.version);
        let sha256 = Digest::of(&files.descriptor);
        let size = files.descriptor.len() as u64;
        let bundle = descriptor.bundle();
        let list = &descriptor.files;
        Self {
            product: product.clone(),
            version: version.clone(),
            commit: descriptor.source.commit.clone(),
            tag: descriptor.source.tag.clone(),
            bundle: Stored {
                path: layout::stored_bundle(product, version, bundle),
                sha256: bundle.sha256,
                size: bundle.size,
            },
            files: Files {
                entries: list.entries,
                bytes: list.bytes,
                path: layout::stored_file_list(product, version, list),
                sha256: list.sha256,
                size: list.size,
            },
            descriptor: Stored {
                path: layout::stored(&layout::descriptor(product, version), sha256),
                sha256,
                size,
            },
            minisigned: (files.minisigned.iter())
                .map(|file| layout::stored_signature(&file.stored))
                .collect(),
            vendored: descriptor.vendored.len() as u64,
            uploaded: published.uploaded,
            channel: published.pointer.as_ref().map(|pointer| pointer.channel.clone()),
            snapshot: published.snapshot,
            stages,
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let Files { entries, bytes: contents, .. } = &self.files;
        let percent = (self.bundle.size * 100).checked_div(*contents).unwrap_or(100);
        let mut rows = Vec::new();
        rows.extend(self.commit.clone().map(|commit| ("commit", commit)));
        rows.push(("files", format!("{entries} entries, {}", bytes(*contents))));
        rows.push(("bundle", format!("{}, {percent} % of the files", bytes(self.bundle.size))));
        if self.vendored > 0 {
            rows.push(("vendored", format!("{} distributions", self.vendored)));
        }
        rows.push(("uploaded", bytes(self.uploaded)));
        rows.extend(self.channel.as_ref().map(|channel| ("channel", channel.to_string())));
        let took = self.stages.0.iter().filter(|stage| stage.took >= Duration::from_millis(1));
        let took = took.map(|stage| format!("{} {}", stage.name, duration(stage.took)));
        rows.push(("time", took.collect::<Vec<_>>().join(", ")));
        rows
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "released  {} {}", self.product, self.version)?;
        self.rows().iter().try_for_each(|(name, value)| writeln!(f, "{name:<10}{value}"))
    }
}
