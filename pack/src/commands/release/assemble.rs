//! From a tree and its vendored distributions to what a release holds and says.

use std::fmt;
use std::path::PathBuf;

use cutover_formats::descriptor::{
    self, Carrier, Descriptor, FileListRef, FrameTableRef, Python, Requires, Vendored,
};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::filelist::{FileList, Kind};
use cutover_formats::input::InputName;
use cutover_formats::layout;
use cutover_formats::path::RelPath;
use cutover_formats::release_toml::ReleaseToml;
use cutover_formats::template::TemplateError;
use cutover_pack::bundle::{self, Contents, Source, SourceEntry, WrittenBundle};

use super::files::Tables;
use super::templates;
use crate::source::{Exclude, SourceError, SourceTree};
use crate::vendor::Fetched;

/// What goes into the bundle.
#[derive(Debug)]
pub(super) struct Assembled {
    /// The contents.
    pub(super) contents: Contents,
    /// Sum of the sizes of all files.
    pub(super) bytes: u64,
    /// Inputs that no template takes.
    pub(super) unused: Vec<InputName>,
    /// Names that some file systems take for one another.
    pub(super) folding: Folding,
}

/// Pairs of names that are one where a file system ignores case or how characters are composed.
#[derive(Debug)]
pub(crate) struct Folding(Vec<(String, String)>);

/// Most pairs that are listed.
const LISTED: usize = 50;

impl Folding {
    /// What to say about them, if there are any.
    pub(super) fn warning(&self) -> Option<String> {
        let folds = "nodes whose file system takes such names for one another refuse the release";
        (!self.0.is_empty()).then(|| format!("{self}\n{folds}"))
    }
}

impl fmt::Display for Folding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, pairs) = (self.0.len(), if self.0.len() == 1 { "pair" } else { "pairs" });
        write!(f, "{count} {pairs} of names that differ only by case or composition:")?;
        for (first, second) in self.0.iter().take(LISTED) {
            write!(f, "\n  {first} and {second}")?;
        }
        match count.saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// A tree whose parts do not fit together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssembleError {
    /// Nothing is left to release.
    #[error("there is nothing to release: the tree is empty, or `exclude` leaves out all of it")]
    Empty,
    /// The lock is not part of the release.
    #[error("the lock `{0}` is left out of the release, but nodes need it")]
    NoLock(RelPath),
    /// There is nothing where `[assets]` says that files are.
    #[error("[assets] names the folder `{0}`, but the release has no files there")]
    NoAssets(RelPath),
    /// A place that the node fills is not free.
    #[error("{what} `{place}` is where the release has `{path}`")]
    Occupied {
        /// Who wants it.
        what: &'static str,
        /// What is wanted.
        place: RelPath,
        /// What is there.
        path: RelPath,
    },
    /// `portable-names` is set, and there are some that are not.
    #[error("the release has {0}")]
    Folding(Folding),
    /// A template is not part of the release.
    #[error("the template `{template}` of the [config] file `{path}` is no file of the release")]
    NoTemplate {
        /// What is to be rendered.
        path: RelPath,
        /// From what.
        template: RelPath,
    },
    /// A template cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A template that no node could render.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A vendored distribution was packed with other contents than locked.
    #[error("`{0}` changed in the cache while it was packed")]
    Changed(RelPath),
    /// `exclude` is wrong.
    #[error(transparent)]
    Exclude(#[from] SourceError),
}

impl Explain for AssembleError {
    fn exit(&self) -> Exit {
        match self {
            Self::Changed(_) => Exit::NotTrusted,
            Self::Exclude(error) => error.exit(),
            Self::Unreadable { source, .. } => Exit::of_io(source),
            Self::Template(error) => error.exit(),
            Self::Empty
            | Self::NoLock(_)
            | Self::NoAssets(_)
            | Self::NoTemplate { .. }
            | Self::Folding(_)
            | Self::Occupied { .. } => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        let untouched = "nothing was released".to_owned();
        let advice = match self {
            Self::NoLock(_) => "let `exclude` in release.toml not match it",
            Self::NoAssets(_) => {
                "correct the folder, or let `exclude` in release.toml not match it"
            }
            Self::NoTemplate { .. } => {
                "correct the path, or let `exclude` in release.toml not match it"
            }
            Self::Template(_) => "inputs are declared with [inputs.<name>] in release.toml",
            Self::Folding(_) => {
                "rename them, list them in `exclude`, or drop `portable-names` from release.toml"
            }
            Self::Occupied { .. } => "rename one of them, or list the file in `exclude`",
            Self::Exclude(error) => return error.hints(),
            _ => return vec![untouched],
        };
        vec![advice.to_owned(), untouched]
    }
}

impl Assembled {
    /// The tree without what is excluded, and the vendored distributions in their places.
    pub(super) fn new(tree: &SourceTree, fetched: &[Fetched]) -> Result<Self, AssembleError> {
        let exclude = Exclude::of(&tree.manifest)?;
        // What is wanted of it goes to the folder of vendored distributions.
        let links = tree.manifest.vendor.python.as_ref().and_then(|it| it.find_links.as_ref());
        let of_links = |path: &RelPath| links.is_some_and(|links| reaches(path, links));
        let kept = |entry: &&SourceEntry| {
            !exclude.leaves_out(entry.path.as_str().as_bytes()) && !of_links(&entry.path)
        };
        let mut entries: Vec<SourceEntry> = tree.files.iter().filter(kept).cloned().collect();
        if entries.is_empty() && fetched.is_empty() {
            return Err(AssembleError::Empty);
        }
        entries.extend(fetched.iter().map(entry));
        refuse_clashes(&tree.manifest, &entries)?;
        let folding = Folding(bundle::folding_names(&entries));
        if tree.manifest.release.portable_names && !folding.0.is_empty() {
            return Err(AssembleError::Folding(folding));
        }
        let unused = templates::check(&tree.manifest, &entries)?;
        let bytes = entries.iter().map(size).sum();
        let contents = Contents {
            product: tree.product.clone(),
            version: tree.version.clone(),
            time: tree.origin.time,
            entries,
        };
        Ok(Self { contents, bytes, unused, folding })
    }
}

fn entry(fetched: &Fetched) -> SourceEntry {
    let Vendored { path, size, .. } = &fetched.record;
    let source = fetched.file.clone();
    SourceEntry {
        path: path.clone(),
        kind: Source::File { executable: false, size: *size, source },
    }
}

fn size(entry: &SourceEntry) -> u64 {
    match &entry.kind {
        Source::File { size, .. } => *size,
        Source::Folder | Source::Link { .. } => 0,
    }
}

fn is_file(entry: &SourceEntry) -> bool {
    matches!(entry.kind, Source::File { .. })
}

/// Whether `path` is `place` or lies below it.
fn reaches(path: &RelPath, place: &RelPath) -> bool {
    let rest = path.as_str().strip_prefix(place.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the node adds to a prefix must not meet what the release puts there.
fn refuse_clashes(manifest: &ReleaseToml, entries: &[SourceEntry]) -> Result<(), AssembleError> {
    let mut added: Vec<(&'static str, &RelPath)> = Vec::new();
    if let Some(python) = &manifest.vendor.python {
        if !entries.iter().any(|entry| entry.path == python.requirements) {
            return Err(AssembleError::NoLock(python.requirements.clone()));
        }
        added.push(("the folder of the Python environment", &python.env));
    }
    if let Some(assets) = &manifest.assets
        && !entries.iter().any(|entry| is_file(entry) && reaches(&entry.path, &assets.folder))
    {
        return Err(AssembleError::NoAssets(assets.folder.clone()));
    }
    added.extend(manifest.config.keys().map(|path| ("the [config] file", path)));
    for (what, place) in added {
        let in_the_way = |entry: &&SourceEntry| {
            let below_a_file = reaches(place, &entry.path) && !matches!(entry.kind, Source::Folder);
            reaches(&entry.path, place) || below_a_file
        };
        if let Some(found) = entries.iter().find(in_the_way) {
            let (place, path) = (place.clone(), found.path.clone());
            return Err(AssembleError::Occupied { what, place, path });
        }
    }
    Ok(())
}

/// Makes sure that what was packed of the cache is what was verified before.
pub(super) fn hold_to_lock(list: &FileList, fetched: &[Fetched]) -> Result<(), AssembleError> {
    let packed = |record: &Vendored| {
        let entries = list.entries();
        let at = entries.binary_search_by(|entry| entry.path.cmp(&record.path)).ok()?;
        match &entries[at].kind {
            Kind::File { sha256, .. } => Some(*sha256),
            Kind::Folder | Kind::Link { .. } => None,
        }
    };
    match fetched.iter().find(|it| packed(&it.record) != Some(it.record.sha256)) {
        None => Ok(()),
        Some(it) => Err(AssembleError::Changed(it.record.path.clone())),
    }
}

/// What the release says of itself.
pub(super) fn descriptor(
    tree: &SourceTree,
    fetched: &[Fetched],
    written: &WrittenBundle,
    tables: &Tables,
) -> Descriptor {
    let manifest = &tree.manifest;
    Descriptor {
        format: descriptor::FORMAT.to_string(),
        product: tree.product.clone(),
        version: tree.version.clone(),
        source: tree.origin.clone(),
        files: FileListRef {
            file: layout::file_list_name(),
            sha256: Digest::of(&tables.list),
            size: tables.list.len() as u64,
            text_sha256: tables.list_text_sha256,
            entries: written.list.entries().len() as u64,
            bytes: written.list.bytes(),
        },
        carriers: vec![Carrier::Bundle {
            file: layout::bundle_name(&tree.product, &tree.version),
            sha256: written.sha256,
            size: written.size,
            frames: FrameTableRef {
                file: layout::frame_table_name(),
                sha256: Digest::of(&tables.frames),
                size: tables.frames.len() as u64,
            },
        }],
        vendored: fetched.iter().map(|it| it.record.clone()).collect(),
        requires: requires(manifest),
        python: manifest.vendor.python.as_ref().map(|python| Python {
            interpreter: python.interpreter.clone(),
            requirements: python.requirements.clone(),
            wheels: python.wheels.clone(),
            env: python.env.clone(),
        }),
        service: manifest.service.clone(),
        config: manifest.config.clone(),
        assets: manifest.assets.clone(),
        stages: manifest.stage.clone(),
        checks: manifest.check.clone(),
        schema: manifest.schema.clone(),
        inputs: manifest.inputs.clone(),
    }
}

/// What must be on the node; the interpreter goes without saying.
fn requires(manifest: &ReleaseToml) -> Requires {
    let mut commands = manifest.requires.commands.clone();
    if let Some(python) = &manifest.vendor.python
        && !commands.contains(&python.interpreter)
    {
        commands.push(python.interpreter.clone());
    }
    Requires { commands }
}
